"""The help of commands: their options in captioned groups, each with its default, and a group's commands in order."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

NOTHING = "none"
"""The default of an option that asks for nothing unless it is given."""

GROUPED = 8
"""Options up to which a command shows them as one group."""

_OPTIONS = "Options"
_COLUMN = 24
"""Letters of a help's left column; what is longer has a line of its own."""


class HelpOption(click.Option):
    """An option whose help ends with its default; `show_default` says a computed one in words. Flags have none."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what stands in the brackets, by kind."""
        extra = super().get_help_extra(ctx)
        if "range" in extra:
            extra["range"] = _range(self.type)
        if self.required or (self.is_flag and not self.secondary_opts):
            extra.pop("default", None)
        elif isinstance(self.show_default, str):
            extra["default"] = self.show_default
        elif extra.get("default", '""') == '""':
            extra["default"] = NOTHING
        return extra


def _range(kind: click.ParamType[Any]) -> str:
    """Return a range of numbers in words."""
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if least is None:
        return f"at most {most}"
    return f"{least} or more" if most is None else f"{least} to {most}"


def option(*names: str, **given: Any) -> Callable[[Command], Command]:
    """Return the decorator that gives a command an option, as `click.option` does."""
    return click.option(*names, cls=HelpOption, **given)


class HelpCommand(click.Command):
    """A command whose help lists its options by subject, and which names all that is missing at once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line.

        Raises:
            click.UsageError: something is wrong; of what is missing, it names all.
        """
        try:
            return super().parse_args(ctx, list(args))
        except click.MissingParameter as error:
            given, _, _ = self.make_parser(ctx).parse_args(list(args))
            missing = [
                each for each in self.get_params(ctx) if each.required and _is_missing(given.get(each.name or ""))
            ]
            *most, last = [_name(each) for each in missing] or [_name(error.param or self.params[0])]
            names = f"{', '.join(most)} and {last} are" if most else f"{last} is"
            raise click.UsageError(f"{names} missing", ctx) from error

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments."""
        arguments = [each for each in self.get_params(ctx) if isinstance(each, click.Argument)]
        _write("Arguments", [each.get_help_record(ctx) for each in arguments], formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the captions of the program; few options have one caption."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option) and not each.hidden]
        root = ctx.find_root().command
        captions = root.option_captions if isinstance(root, HelpGroup) and len(options) > GROUPED else {}
        groups: dict[str, list[tuple[str, str]]] = {caption: [] for caption in captions or (_OPTIONS,)}
        *_, last = groups
        for each in options:
            caption = next((caption for caption, names in captions.items() if each.name in names), last)
            groups[caption].append(each.get_help_record(ctx) or ("", ""))
        for caption, rows in groups.items():
            _write(caption, rows, formatter)


class HelpGroup(click.Group):
    """A group whose help lists its commands in the order of the work, under captions, a whole line each.

    Args:
        given: what click's group is given.
        option_captions: the groups of its commands' options: their parameters' names, by caption.
    """

    command_class = HelpCommand

    def __init__(self, *given: Any, option_captions: Mapping[str, Collection[str]] | None = None, **named: Any) -> None:
        super().__init__(*given, **named)
        self.option_captions = option_captions or {}
        self.captions: dict[str, list[str]] = {}

    def add_commands(self, caption: str, commands: Sequence[click.Command]) -> None:
        """Add commands under a caption, in the order in which they are used."""
        for command in commands:
            self.add_command(command)
        self.captions[caption] = [command.name or "" for command in commands]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        """Return the names of the commands in their order."""
        ordered = [name for names in self.captions.values() for name in names]
        return [*ordered, *(name for name in self.commands if name not in ordered)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with the first sentence of each one's help."""
        width = max(map(len, self.commands))
        for caption, names in (self.captions or {"Commands": self.list_commands(ctx)}).items():
            rows = [(name.ljust(width), first_sentence(self.commands[name])) for name in names]
            with formatter.section(caption):
                formatter.write_dl(rows)


def first_sentence(command: click.Command) -> str:
    """Return the first line of a command's help, which says in one sentence what it does."""
    return (command.help or "").strip().partition("\n")[0]


def command(name: str | None = None, **given: Any) -> Callable[[Callable[..., Any]], HelpCommand]:
    """Return the decorator that makes a command of a function, as `click.command` does."""
    return click.command(name, cls=HelpCommand, **given)


def _is_missing(given: Any) -> bool:
    """Return whether the parser found nothing for a parameter."""
    return not isinstance(given, (str, bool)) and not (isinstance(given, (list, tuple)) and any(given))


def _name(parameter: click.Parameter) -> str:
    """Return what users call an argument or an option."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return parameter.human_readable_name.rstrip("…")


def _write(caption: str, rows: Sequence[tuple[str, str]], formatter: click.HelpFormatter) -> None:
    if rows:
        with formatter.section(caption):
            formatter.write_dl([(left.ljust(_COLUMN), right) for left, right in rows], col_max=_COLUMN)
