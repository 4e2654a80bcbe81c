"""Numbers that options take, beyond click's own."""

import math
from typing import Any

import click

_MOST = 1 << 20
"""Of a list's numbers."""


class WholeNumbers(click.ParamType[tuple[int, ...]]):
    """An option's list of different whole numbers above 0, with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers that a text gives, in its order."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.strip().isascii() and part.strip().isdecimal() and len(part) < 10 for part in parts):
            self.fail(f"{value!r} is no list of whole numbers such as 10,20.", param, ctx)
        numbers = tuple(map(int, parts))
        if not all(1 <= number <= _MOST for number in numbers):
            self.fail(f"{value!r} has a number outside of 1 to {_MOST}.", param, ctx)
        if len(set(numbers)) < len(numbers):
            self.fail(f"{value!r} has a number twice.", param, ctx)
        return numbers


class Positive(click.ParamType[float]):
    """An option's finite number above 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number that a text gives."""
        found: float = click.FLOAT.convert(value, param, ctx)
        if not (math.isfinite(found) and found > 0):
            self.fail(f"{value} is no finite number above 0.", param, ctx)
        return found
