"""A command line as it was typed, to be typed again with changes."""

from collections.abc import Collection, Iterator
from typing import Any

import click
from click.core import ParameterSource


def typed_again(without: Collection[str] = (), *, only: Collection[str] | None = None) -> list[str]:
    """Return the arguments and options with which the command that runs was called, as words, without defaults.

    Args:
        without: names of the parameters to leave out, such as `dry_run`.
        only: names of those to take; None for all.
    """
    context = click.get_current_context()
    arguments: list[str] = []
    options: list[str] = []
    for parameter in context.command.get_params(context):
        name = parameter.name or ""
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not typed or name in without or (only is not None and name not in only):
            continue
        value = context.params[name]
        if isinstance(parameter, click.Option):
            options += list(_option(parameter, value))
        else:
            arguments += list(map(str, value if parameter.nargs != 1 else [value]))
    return [*arguments, *options]


def _option(option: click.Option, value: Any) -> Iterator[str]:
    """Yield the words of an option."""
    name = max(option.opts, key=len)
    if option.is_flag:
        if value is False and option.secondary_opts:
            yield option.secondary_opts[0]
        elif value is True or value == option.flag_value:
            yield name
        return
    for each in value if option.multiple else [value]:
        yield name
        yield from map(str, each if isinstance(each, (tuple, list)) else [each])
