"""The command line of the trainer: it parses, calls one core function, and prints its summary."""

import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from in21k.train.errors import USER_ERRORS

PROGRAM = "in21k-train"

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="in21k", prog_name=PROGRAM)
def cli(debug: bool) -> None:
    """Pretrain vision backbones on a dataset that in21k-prep made.

    Several GPUs: torchrun --nproc-per-node 8 -m in21k.train pretrain …
    """


def _shared(command: _Command) -> _Command:
    """Add the options of every command that runs a model."""
    options = [
        click.option("--image-size", type=int, metavar="PIXELS", help="Side of the images; the dataset's by default."),
        click.option(
            "--workers",
            type=int,
            metavar="N",
            help="Loader processes of each training process; by default the CPUs decide.",
        ),
        click.option(
            "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="auto takes a GPU where there is one."
        ),
        click.option("--amp/--no-amp", default=None, help="Mixed precision on a GPU; on by default."),
        click.option("--strict", is_flag=True, default=None, help="A damaged sample is an error; else it is skipped."),
        click.option("--cache", metavar="FOLDER", help="Keep shards of an object store in this folder."),
        click.option("--cache-size", metavar="SIZE", help="How large the cache may become; 100GB by default."),
        click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@click.argument("data")
@click.option(
    "--model", required=True, metavar="NAME", help="A model of timm, such as resnet50 or vit_base_patch16_224."
)
@click.option("--recipe", default="semantic-softmax", show_default=True, metavar="NAME", help="The training scheme.")
@click.option("--output", required=True, type=click.Path(path_type=Path), metavar="RUN", help="The run's folder.")
@click.option("--epochs", type=int, metavar="N", help="Passes over the training images.")
@click.option("--batch-size", type=int, metavar="N", help="Images of a step over all processes.")
@click.option("--lr", type=float, metavar="RATE", help="Peak learning rate; it is not scaled with the batch size.")
@click.option("--seed", type=int, metavar="N", help="Of weights, order and augmentation.")
@click.option("--pretrained", is_flag=True, default=None, help="Begin with timm's weights.")
@click.option("--init", metavar="FILE", help="Begin with a file's weights; a classifier of another size is left out.")
@click.option("--resume", is_flag=True, help="Go on with the run in RUN, from its newest checkpoint.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change any setting of the recipe.")
@_shared
def pretrain(
    data: str, output: Path, recipe: str, resume: bool, settings: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Train a model on DATA, a folder or a URI with a manifest.json.

    \b
    Examples:
      in21k-train pretrain out --model resnet50 --pretrained --output runs/r50 --batch-size 512
      in21k-train pretrain s3://bucket/in21k --model resnet18 --output runs/r18 --set loss.label_smoothing=0.1
      in21k-train pretrain out --model resnet50 --pretrained --output runs/r50 --batch-size 512 --resume
    """
    from in21k.train.config import parse_setting, read_recipe, with_values

    values = dict(map(parse_setting, settings))
    values.update({_KEYS[name]: value for name, value in options.items() if value is not None})
    config = with_values(read_recipe(recipe), values)
    from in21k.train.loop import pretrain as core
    from in21k.train.preemption import Preempted

    try:
        _print_summary(core(data, output, config, resume=resume), as_json)
    except Preempted as stopped:
        click.echo(f"{PROGRAM}: {stopped}", err=True)


@cli.command()
@click.argument("data")
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A run's folder, a checkpoint's, or its model.safetensors.",
)
@click.option(
    "--batch-size", type=int, default=256, show_default=True, metavar="N", help="Images of a step of one process."
)
@_shared
def evaluate(data: str, checkpoint: Path, batch_size: int, as_json: bool, **options: Any) -> None:
    """Measure a checkpoint on the val split of DATA: semantic top-1, beside the majority guess.

    \b
    Examples:
      in21k-train evaluate out --checkpoint runs/r50
      in21k-train evaluate out --checkpoint runs/r50/checkpoints/step-00001234 --json
    """
    from in21k.train.config import Config, with_values

    values = {_KEYS[name]: value for name, value in options.items() if value is not None}
    config = with_values(Config(), {**values, "data.eval_batch_size": batch_size})
    from in21k.train.evaluation import evaluate_checkpoint

    _print_summary(evaluate_checkpoint(data, checkpoint, config.data, config.run), as_json)


_KEYS: Mapping[str, str] = {
    "model": "model.name",
    "pretrained": "model.pretrained",
    "init": "model.init",
    "image_size": "data.image_size",
    "strict": "data.strict",
    "cache": "data.cache",
    "cache_size": "data.cache_size",
    "batch_size": "data.batch_size",
    "epochs": "optim.epochs",
    "lr": "optim.lr",
    "seed": "run.seed",
    "workers": "run.workers",
    "device": "run.device",
    "amp": "run.amp",
}
"""The setting that each option changes."""


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
    click.echo(f"{PROGRAM}: error: {' '.join(message.split())}", err=True)
    sys.exit(status)


def _print_summary(summary: Mapping[str, Any] | None, as_json: bool) -> None:
    if summary is None:
        return
    if as_json:
        click.echo(json.dumps(summary, indent=1))
        return
    for key, value in summary.items():
        click.echo(f"{key.replace('_', ' ')}: {_readable(value)}")


def _readable(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_readable(item)}" for key, item in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)
