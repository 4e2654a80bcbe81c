"""What `--json` prints, held against the declared table of keys."""

import json
import re
from numbers import Real
from typing import Any

from in21k.shards_manifest.command.declared import FACTS, columns_of, fact_of, keys_of
from in21k.shards_manifest.command.facts import Kind

_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TYPES: dict[Kind, type | tuple[type, ...]] = {
    Kind.COUNT: int,
    Kind.NUMBER: int,
    Kind.BYTES: int,
    Kind.FLAG: bool,
    Kind.TEXT: str,
    Kind.PATH: str,
    Kind.TEXTS: list,
    Kind.COUNTS: list,
    Kind.ROWS: list,
    Kind.LEVELS: dict,
    Kind.VALUES: dict,
    Kind.ANY: object,
}


def problems(command: str, printed: str) -> list[str]:
    """Return how what a command printed with `--json` breaks the declared schema; nothing if it keeps to it."""
    if not printed.endswith("\n") or printed.count("\n") != 1:
        return [f"not one line: {printed[:200]!r}"]
    summary = json.loads(printed)
    if not isinstance(summary, dict) or next(iter(summary.items()), None) != ("command", command):
        return [f"no object that begins with its command: {printed[:200]!r}"]
    found = [f"{key} is not declared for {command}" for key in summary if key not in ("command", *keys_of(command))]
    for key, value in summary.items():
        if key != "command":
            found += _of_value(command, key, value)
            found += [] if _SNAKE.fullmatch(key) else [f"{key} is not in snake_case"]
    return found


def _of_value(scope: str, key: str, value: Any) -> list[str]:
    """Return what is wrong with a value, and within it."""
    if f"{scope}.{key}" not in FACTS and key not in FACTS:
        return [f"{key} has no label and no kind"]
    kind = fact_of(scope, key).kind
    if value is None:
        return []
    if not isinstance(value, _TYPES.get(kind, Real)) or (isinstance(value, bool) and kind not in (Kind.FLAG, Kind.ANY)):
        return [f"{key} is no {kind}: {value!r:.60}"]
    if kind is Kind.SHARE and not 0 <= value <= 1:
        return [f"{key} is no share: {value}"]
    if kind is not Kind.ROWS:
        return []
    columns = columns_of(scope, key)
    undeclared = {column for row in value for column in row} - set(columns)
    return (
        [f"{key} has undeclared {sorted(undeclared)}"]
        if undeclared
        else [problem for row in value[:20] for column, cell in row.items() for problem in _of_value(key, column, cell)]
    )
