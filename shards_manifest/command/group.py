"""The group of commands that a program of ours is: how its command line starts, and how it ends."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import click
from click.exceptions import NoSuchCommand

from in21k.shards_manifest.command.command_end import WRONG_USAGE, CommandEnd, Program
from in21k.shards_manifest.command.completion import complete_in_shells
from in21k.shards_manifest.command.help import HelpGroup
from in21k.shards_manifest.command.nearest import did_you_mean
from in21k.shards_manifest.errors import one_line

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}


class ProgramGroup(HelpGroup):
    """A program's commands, which all end as `command_end` says.

    The context's object is whether it is the process's own command line, rather than one that a program gives.

    Args:
        program: whose commands they are.
        before: is called before a command runs.
        given: what click's group is given.
    """

    def __init__(self, *given: Any, program: Program, before: Callable[[], object] = bool, **named: Any) -> None:
        super().__init__(*given, context_settings=_SETTINGS, **named)
        self.program = program
        self.before = before

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line and leave the process with its exit status."""
        complete_in_shells()
        is_own_process = not args and "args" not in extra
        with self.program.ending():
            try:
                status = super().main(*args, **extra | {"standalone_mode": False, "obj": is_own_process})
            except click.exceptions.NoArgsIsHelpError as error:
                error.show()
                status = WRONG_USAGE
            except click.ClickException as error:
                line = f"error: {one_line(_message(error), None)}"
                raise CommandEnd(line, error.exit_code, above=_usage(error)) from error
        sys.exit(status if isinstance(status, int) else 0)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line under the program's name, however it was started; `--help` prints here."""
        with self.program.answers():
            return super().make_context(self.program.name, *args[1:], **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whatever stops it is answered here, before click can answer signals and closed pipes."""
        self.before()
        with self.program.answers(debug=ctx.params["debug"]):
            return super().invoke(ctx)


def _message(error: click.ClickException) -> str:
    """Return what is wrong; of a mistyped command or option, with those that may have been meant."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        names = [
            name for each in error.ctx.command.get_params(error.ctx) for name in (*each.opts, *each.secondary_opts)
        ]
        options = [name for name in names if name.startswith("--")]
        return f"there is no option {error.option_name}{_hint(error.option_name, options)}"
    if isinstance(error, NoSuchCommand) and error.ctx and isinstance(error.ctx.command, click.Group):
        return f"there is no command {error.command_name}{_hint(error.command_name, error.ctx.command.commands)}"
    return error.format_message()


def _hint(name: str, known: Iterable[str]) -> str:
    return f"; {hint}" if (hint := did_you_mean(name, known, "")) else ""


def _usage(error: click.ClickException) -> str:
    """Return how the command is used, where an error is in how it was."""
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return ""
    return f"{error.ctx.get_usage()}\nTry {error.ctx.command_path} --help."
