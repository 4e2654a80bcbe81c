"""What all commands of `in21k-prep` share: how they end, how they print a summary, and options that several take."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from in21k.prep.errors import USER_ERRORS
from in21k.prep.raw.choices import SourceChoices
from in21k.prep.without_pandas import leave_pandas_out
from in21k.shards_manifest.command.command_end import WRONG_USAGE, CommandEnd, Program
from in21k.shards_manifest.errors import DatasetError, escaped, one_line
from in21k.shards_manifest.sizes import SizeError, parse_size
from in21k.shards_manifest.storage.local_files import local_path
from in21k.tree.parents import ParentRule

Command = TypeVar("Command", bound=Callable[..., Any])

PROGRAM = Program(
    name="in21k-prep",
    errors=USER_ERRORS,
    extras={"distributed": "dask", "fsspec": "hub", "rapidgzip": "gzip", "cv2": "reference", "matplotlib": "report"},
    after_stop="run the same command again to continue",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
parents_option = click.option(
    "--parents",
    type=click.Choice([rule.value for rule in ParentRule]),
    default=ParentRule.PUBLISHED.value,
    show_default=True,
    help="Which hypernym becomes the parent of a synset that has several.",
)
source_options = (
    click.option(
        "--class-list",
        default="",
        metavar="FILE|NAME",
        help="The classes that numbers stand for, where images are labeled with numbers alone: one per line, in order.",
    ),
    click.option("--resplit", is_flag=True, help="Pool the train and val images of the dump, and hold out val anew."),
)


class PrepGroup(click.Group):
    """A group whose commands all end as `shards_manifest.command.command_end` says."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line and leave the process with its exit status."""
        leave_pandas_out()
        with PROGRAM.ending():
            try:
                status = super().main(*args, **extra | {"standalone_mode": False})
            except click.exceptions.NoArgsIsHelpError as error:
                error.show()
                status = WRONG_USAGE
            except click.ClickException as error:
                raise CommandEnd(f"error: {one_line(error.format_message(), None)}", error.exit_code) from error
        sys.exit(status if isinstance(status, int) else 0)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line under the program's name, however it was started; `--help` prints here."""
        with PROGRAM.answers():
            return super().make_context(PROGRAM.name, *args[1:], **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whatever stops it is answered here, before click can answer signals and closed pipes."""
        with PROGRAM.answers(debug=ctx.params["debug"]):
            return super().invoke(ctx)


class LocalPath(click.Path):
    """An option's path on this machine; a URI is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path that a text names."""
        try:
            return local_path(str(super().convert(value, param, ctx)))
        except DatasetError as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType[int]):
    """An option's size in bytes, written as 600MB or 2GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the size that a text states, in bytes."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except SizeError as error:
            self.fail(str(error), param, ctx)


def note(text: str) -> None:
    """Print a note on stderr, on one line."""
    click.echo(f"note: {one_line(text, None)}", err=True)


def print_summary(command: str, facts: Mapping[str, Any], as_json: bool) -> None:
    """Print what a command did, for people or as JSON."""
    if as_json:
        click.echo(json.dumps({"command": command, **facts}))
        return
    width = max(map(len, facts))
    click.echo(f"{command}: done")
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else escaped(str(value))
        click.echo(f"  {name.replace('_', ' '):<{width}}  {shown}")


def chosen_source(chosen: Mapping[str, Any]) -> SourceChoices:
    """Return the user's choices about the dump."""
    return SourceChoices(chosen["class_list"], chosen["resplit"])


def with_options(*groups: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Return a decorator that adds groups of options, in order."""

    def add(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return add
