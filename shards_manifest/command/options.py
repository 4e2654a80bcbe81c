"""Options that commands of both programs take, and what their values may be."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from in21k.shards_manifest.command.help import Command, option
from in21k.shards_manifest.command.nearest import LISTED, did_you_mean
from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.sizes import SizeError, parse_size
from in21k.shards_manifest.storage.local_files import local_path

json_option = option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")


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


class Probability(click.FloatRange):
    """An option's probability, 0 to 1."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the probability that a text gives; NaN, which no range excludes, is refused."""
        found: float = super().convert(value, param, ctx)
        if found != found:
            self.fail(f"{value} is no number from 0 to 1.", param, ctx)
        return found


class OneOf(click.Choice[str]):
    """One of several words; an error names all if they are few, else the two nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return the error's message."""
        listed = super().get_invalid_choice_message(value, ctx)
        words = [str(each) for each in self.choices]
        return listed if len(words) <= LISTED else f"there is no {value!r}; {did_you_mean(value, words, listed)}"


class Known(click.ParamType[str]):
    """A text of which some values are known: shells complete them, and any other text is taken as it is.

    Args:
        values: returns the known values, of which those are taken that begin as a given text does; each with a word on
            what it is, which may be empty.
        files: whether it may be a path instead.
        by_name: whether values are also found by what is said of them, and then begin otherwise than the text.
    """

    name = "text"

    def __init__(
        self, values: Callable[[str], Mapping[str, str]], *, files: bool = False, by_name: bool = False
    ) -> None:
        self.values = values
        self.files = files
        self.by_name = by_name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:  # noqa: ARG002 - click passes them
        """Return the values that complete a text."""
        found = self.values(incomplete).items()
        items = [
            CompletionItem(value, help=about or None)
            for value, about in found
            if self.by_name or value.startswith(incomplete)
        ]
        return (
            [CompletionItem(incomplete, type="file"), *items] if self.files else items
        )  # bash forgets what comes before a file


PLACE = Known(lambda _: {}, files=True)
"""A path, which shells complete, or a URI."""


def with_options(*groups: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Return a decorator that adds groups of options, in order."""

    def add(command: Command) -> Command:
        for each in reversed([each for group in groups for each in group]):
            command = each(command)
        return command

    return add
