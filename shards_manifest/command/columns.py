"""Text in columns: aligned by the width of letters on a terminal, and never cut; a narrow one wraps the last column."""

import shutil
import sys
import unicodedata
from collections.abc import Collection, Iterator, Sequence

from in21k.shards_manifest.errors import escaped

GAP = "  "
_LEAST = 20
"""Letters of the last column, however narrow the terminal is."""


def terminal_width() -> int | None:
    """Return how many letters a line of stdout holds; None if it is no terminal, where lines have any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def width_of(text: str) -> int:
    """Return the columns of a terminal that a text takes: a wide East Asian letter two, a combining mark none."""
    if text.isascii():
        return len(text)
    return sum(map(_letter_width, text))


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text with the blanks that it lacks to a width, behind it or before it."""
    blanks = " " * (width - width_of(text))
    return blanks + text if right else text + blanks


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most a width, broken at blanks alone: a longer word, such as a path, stays whole."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and width_of(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def table_lines(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = (), width: int | None = None
) -> Iterator[str]:
    """Yield a table's lines, without trailing blanks.

    Args:
        head: names of the columns; empty for a table without a heading.
        rows: the cells; letters that are not safe to print are escaped.
        right: numbers of the columns whose cells stand at the right, as numbers do.
        width: columns of the terminal; None for lines of any length.
    """
    lines = [[escaped(cell) for cell in row] for row in ([head] if head else []) + list(rows)]
    if not lines:
        return
    widths = [max(map(width_of, column)) for column in zip(*lines, strict=True)]
    before = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    are_numbers = len(widths) - 1 in right
    room = sys.maxsize if width is None else max(width - before, _LEAST)
    for line in lines:
        first, *more = [padded(line[-1], widths[-1], right=True)] if are_numbers else wrapped(line[-1], room)
        cells = [padded(cell, widths[at], right=at in right) for at, cell in enumerate(line[:-1])]
        yield GAP.join([*cells, first]).rstrip()
        yield from (" " * before + rest for rest in more)


def _letter_width(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
