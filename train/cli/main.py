"""The command line of the trainer: its group of commands, and what it answers errors with."""

import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import click

from in21k.shards_manifest.errors import one_line
from in21k.train.cli import lists as cli_lists
from in21k.train.cli import pretrain as cli_pretrain
from in21k.train.cli import transfer as cli_transfer
from in21k.train.cli import use as cli_use
from in21k.train.cli.shared import PROGRAM
from in21k.train.errors import USER_ERRORS


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="in21k", prog_name=PROGRAM)
def cli(debug: bool) -> None:
    """Pretrain vision backbones on a dataset that in21k-prep made.

    Several GPUs: torchrun --nproc-per-node 8 -m in21k.train pretrain …
    """


for command in (
    cli_pretrain.pretrain,
    cli_pretrain.evaluate,
    cli_pretrain.curves,
    cli_transfer.transfer,
    cli_use.predict,
    cli_use.export,
    cli_lists.models,
    cli_lists.settings_command,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 when done, 1 with one line on stderr for an error, 2 for a wrong usage."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    try:
        with _ended_by_sigterm():
            status = cli.main(arguments, PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        _fail(error.format_message(), 2 if isinstance(error, click.UsageError) else 1, debug)
    except click.Abort:
        _fail("interrupted", 130, debug)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "in21k":
            raise
        _fail(f"the package {error.name} is not installed; pip install 'in21k[train]'", 1, debug)
    except (*USER_ERRORS, OSError) as error:
        _fail(str(error), 1, debug)
    sys.exit(status if isinstance(status, int) else 0)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Answer SIGTERM within the block; who calls `main` in a process of their own gets their handler back."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _terminate(*_: object) -> NoReturn:
    """End as an error does: loader processes, temporary files and shared memory go first."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    click.echo(f"{PROGRAM}: error: stopped by SIGTERM", err=True)
    sys.exit(128 + signal.SIGTERM)


def _fail(message: str, status: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    click.echo(f"{PROGRAM}: error: {one_line(message, longest=None)}", err=True)
    sys.exit(status)
