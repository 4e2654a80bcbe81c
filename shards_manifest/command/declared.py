"""What is declared of the summaries of both programs: what a key means, the keys of a command, those of its lists."""

from collections.abc import Mapping, Sequence
from typing import Any

from in21k.shards_manifest.command import prep_facts, train_facts
from in21k.shards_manifest.command.facts import SHARED, Fact, Kind

PROGRAMS: Mapping[str, Mapping[str, str]] = {"in21k-prep": prep_facts.COMMANDS, "in21k-train": train_facts.COMMANDS}
"""The commands of each program, with their keys."""

FACTS: Mapping[str, Fact] = {**SHARED, **prep_facts.FACTS, **train_facts.FACTS}
"""All keys, by `KEY`, or by `COMMAND.KEY` where a command uses a key otherwise."""

_KEYS: Mapping[str, Sequence[str]] = {
    command: tuple(keys.split()) for commands in PROGRAMS.values() for command, keys in commands.items()
}
_COLUMNS: Mapping[str, Sequence[str]] = {
    rows: tuple(keys.split()) for rows, keys in {**prep_facts.COLUMNS, **train_facts.COLUMNS}.items()
}


def keys_of(command: str) -> Sequence[str]:
    """Return the keys that a command's summary may have, in the order in which they are printed."""
    return _KEYS.get(command, ())


def columns_of(command: str, rows: str) -> Sequence[str]:
    """Return the keys of the objects in a list of a command's summary."""
    return _COLUMNS.get(f"{command}.{rows}") or _COLUMNS.get(rows, ())


def fact_of(command: str, key: str, value: Any = None) -> Fact:
    """Return what a key means in a command's summary.

    A dataset that another version made may count what this one does not know: that is a count, named as it is.
    """
    known = FACTS.get(f"{command}.{key}") or FACTS.get(key)
    return known or Fact(Kind.COUNT if isinstance(value, int) else Kind.TEXT, key.replace("_", " "))


def in_order(command: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a summary in the order in which its command declares the keys."""
    known = [key for key in keys_of(command) if key in summary]
    return {key: summary[key] for key in dict.fromkeys([*known, *summary])}
