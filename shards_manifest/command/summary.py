"""What a command prints at its end: for people, aligned and with the command to type next; or as one line of JSON."""

import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from in21k.shards_manifest.command.columns import GAP, padded, table_lines, terminal_width, width_of, wrapped
from in21k.shards_manifest.command.declared import columns_of, fact_of, in_order
from in21k.shards_manifest.command.facts import Kind
from in21k.shards_manifest.command.numbers import (
    bytes_text,
    count_text,
    points_text,
    rate_text,
    score_text,
    seconds_text,
    share_text,
)
from in21k.shards_manifest.errors import escaped, without_secrets

SHOWN = 12
"""How many of a list's texts are shown; of more, their number is said, and `--json` has all."""

_CLASSES, _TOP1, _MAJORITY = "classes_by_level", "val_semantic_top1_by_level", "majority_semantic_top1_by_level"
_TABLES = (Kind.ROWS, Kind.LEVELS)
_NUMBERS: Mapping[Kind, Callable[[Any], str]] = {
    Kind.COUNT: count_text,
    Kind.NUMBER: str,
    Kind.BYTES: bytes_text,
    Kind.SECONDS: seconds_text,
    Kind.SHARE: share_text,
    Kind.SCORE: score_text,
    Kind.RATE: rate_text,
}
"""How numbers of each kind are written; they stand at the right of their column."""


def print_summary(
    command: str,
    summary: Mapping[str, Any],
    as_json: bool,
    *,
    head: str = "done",
    then: Sequence[Sequence[object]] = (),
) -> None:
    """Print what a command did, for people or as JSON.

    Args:
        command: its name, as it is declared.
        summary: values by key.
        as_json: print JSON instead.
        head: what the first line says, after the command's name.
        then: the commands that a user may type next, each as its words, the most likely first.
    """
    if as_json:
        print(json_line(command, summary))
        return
    for line in summary_lines(command, summary, head=head, width=terminal_width()):
        print(line)
    print_next(then)
    if page := summary.get("page"):  # the last line, so that it is found under a long summary
        print(f"{'  or' if then else 'next'}: open {command_line(page)} in a browser")


def print_next(then: Sequence[Sequence[object]]) -> None:
    """Print the commands that a user may type next, quoted for the shell, the most likely first."""
    for at, words in enumerate(then):
        print(f"{'  or' if at else 'next'}: {command_line(*words)}")


def command_line(*words: object) -> str:
    """Return a command as a user would type it, on one line, whatever its words hold, but without a URI's secrets."""
    texts = (fspath(word) if isinstance(word, PathLike) else str(word) for word in words)
    return " ".join(_quoted(without_secrets(text)) for text in texts)


def json_line(command: str, summary: Mapping[str, Any]) -> str:
    """Return a summary as one JSON object on one line, with `command` first; NaN, which JSON lacks, is null."""
    return json.dumps({"command": command, **_plain(in_order(command, summary))}, allow_nan=False)


def summary_lines(
    command: str, summary: Mapping[str, Any], *, head: str = "done", width: int | None = None
) -> Iterator[str]:
    """Yield a summary's lines: what it is of, its values, and then its tables.

    Counts that are usually 0 are left out where they are, and so is what is not there.

    Args:
        command: its name, as it is declared.
        summary: values by key.
        head: what the first line says, after the command's name.
        width: columns of the terminal; None for lines of any length.
    """
    yield f"{command}: {escaped(head)}"
    facts = {key: fact_of(command, key, value) for key, value in summary.items()}
    ordered = in_order(command, summary)
    block = [
        (facts[key].label, shown(facts[key].kind, value), facts[key].kind in _NUMBERS)
        for key, value in ordered.items()
        if facts[key].kind not in (*_TABLES, Kind.VALUES) and _is_news(value, facts[key].shows_zero)
    ]
    for key, value in ordered.items():
        if facts[key].kind is Kind.VALUES and value and not _is_nested(value):
            block += [(f"{facts[key].label}", "", False), *_values(value)]
    yield from _block(block, width)
    for key, value in ordered.items():
        if _is_nested(value):
            yield from ("", *_nested(command, facts[key].label, value, width))
        elif facts[key].kind is Kind.ROWS and value:
            yield from ("", *_rows(columns_of(command, key), value, width))
    if ordered.get(_TOP1):
        yield from ("", *level_lines(ordered))


def level_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of semantic top-1 by level of the hierarchy, beside the guess of the majority."""
    classes, ours, majority = (summary.get(key) or {} for key in (_CLASSES, _TOP1, _MAJORITY))
    rows = []
    for level, top1 in ours.items():
        least = majority.get(level)
        gain = "" if least is None or top1 is None else points_text(top1 - least)
        cells = (shown(Kind.COUNT, classes.get(level)), shown(Kind.SHARE, top1), shown(Kind.SHARE, least), gain)
        rows.append((str(level), *cells))
    heads = ("level", "classes", "top-1", "majority", "gain")
    for line in table_lines(heads, rows, right=range(5)):
        yield f"{GAP}{line}"


def shown(kind: Kind, value: Any) -> str:
    """Return a value of a kind as texts show it; nothing for None."""
    if value is None:
        return ""
    if kind in _NUMBERS:
        return _NUMBERS[kind](value)
    if kind is Kind.FLAG:
        return "yes" if value else "no"
    if kind is Kind.COUNTS:
        return (" and " if len(value) == 2 else " ").join(map(count_text, value))
    if kind is Kind.TEXTS:
        more = [f"{count_text(len(value) - SHOWN)} more"] if len(value) > SHOWN else []
        return escaped(", ".join([*map(str, value[:SHOWN]), *more]))
    return escaped(without_secrets(str(value)))


def _is_news(value: Any, shows_zero: bool) -> bool:
    """Return whether texts show a value."""
    if value is None or value == "" or value == [] or value == ():
        return False
    return shows_zero or bool(value)


def _is_nested(value: Any) -> bool:
    """Return whether a value is an object of objects."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(item, Mapping) for item in value.values())


def _values(value: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for name, item in value.items():
        kind = Kind.TEXT if isinstance(item, (str, bool)) else Kind.COUNT if isinstance(item, int) else Kind.SCORE
        yield f"{GAP}{escaped(str(name))}", shown(kind, item), kind in _NUMBERS


def _block(rows: Sequence[tuple[str, str, bool]], width: int | None) -> Iterator[str]:
    """Yield lines of a label and a value each; numbers stand at the right of their column."""
    if not rows:
        return
    labels = max(width_of(label) for label, _, _ in rows)
    numbers = max((width_of(value) for _, value, is_number in rows if is_number), default=0)
    before = len(GAP) + labels + len(GAP)
    for label, value, is_number in rows:
        text = padded(value, numbers, right=True) if is_number else value
        first, *more = [text] if width is None or is_number else wrapped(text, max(width - before, 20))
        yield f"{GAP}{padded(label, labels)}{GAP}{first}".rstrip()
        yield from (" " * before + rest for rest in more)


def _rows(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], width: int | None) -> Iterator[str]:
    """Yield the table of a list of objects; wnids that only repeat the names are left out."""
    there = [key for key in columns if any(row.get(key) not in (None, "") for row in rows)]
    if "name" in there and all(row.get("wnid") == row.get("name") for row in rows):
        there = [key for key in there if key != "wnid"]
    facts = {key: fact_of("", key) for key in there}
    right = [at for at, key in enumerate(there) if facts[key].kind in _NUMBERS]
    cells = [[shown(facts[key].kind, row.get(key)) for key in there] for row in rows]
    room = None if width is None else width - len(GAP)
    for line in table_lines([facts[key].label for key in there], cells, right, room):
        yield f"{GAP}{line}"


def _nested(command: str, label: str, value: Mapping[str, Mapping[str, Any]], width: int | None) -> Iterator[str]:
    """Yield the table of an object of objects: a row each."""
    keys = list(dict.fromkeys(key for item in value.values() for key in item))
    facts = {key: fact_of(command, key) for key in keys}
    cells = [[str(name), *(shown(facts[key].kind, item.get(key)) for key in keys)] for name, item in value.items()]
    heads = [label, *(facts[key].label for key in keys)]
    for line in table_lines(heads, cells, range(len(heads)), width):
        yield f"{GAP}{line}"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: paths as texts, URIs without secrets, numbers that are none as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    plain = fspath(value) if isinstance(value, PathLike) else value
    return without_secrets(plain) if isinstance(plain, str) else plain


def _quoted(word: str) -> str:
    """Return a word quoted for the shell; one with letters that are not safe to print in the form `$'…'`."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + escaped(word.replace("\\", "\\\\").replace("'", "\\'")) + "'"
