"""What all commands of `in21k-prep` share: one line for an error, one summary, options that several take."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from in21k.prep.errors import USER_ERRORS
from in21k.prep.without_pandas import leave_pandas_out
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.sizes import SizeError, parse_size
from in21k.tree.parents import ParentRule

json_option = click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
parents_option = click.option(
    "--parents",
    type=click.Choice([rule.value for rule in ParentRule]),
    default=ParentRule.PUBLISHED.value,
    show_default=True,
    help="Which hypernym of a synset with several is its parent.",
)


class OneLineErrors(click.Group):
    """A group that answers what its user got wrong with one line and an exit code, 2 for usage and 1 for the rest."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line and leave the process with its exit code."""
        extra["standalone_mode"] = False
        leave_pandas_out()
        try:
            code = super().main(*args, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.ClickException as error:
            click.echo(f"{self.name}: error: {error.format_message()}", err=True)
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo(f"{self.name}: interrupted; the same command goes on from here", err=True)
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and turn expected failures into one line."""
        try:
            return super().invoke(ctx)
        except (*USER_ERRORS, OSError) as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(one_line(error, longest=None)) from error


class Size(click.ParamType[int]):
    """A number of bytes, such as 600MB or 2GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes that a text means."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except SizeError as error:
            self.fail(str(error), param, ctx)


def print_summary(command: str, facts: Mapping[str, Any], as_json: bool) -> None:
    """Print what a command did, for people or for scripts."""
    if as_json:
        click.echo(json.dumps({"command": command, **facts}))
        return
    width = max(map(len, facts))
    click.echo(f"{command}: done")
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        click.echo(f"  {name.replace('_', ' '):<{width}}  {shown}")
