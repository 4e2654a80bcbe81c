"""JSON that runs leave behind, read strictly: typed and bounded, so that whatever is wrong with it is one message."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from in21k.shards_manifest.errors import one_line
from in21k.train.config.overrides import config_from_dict
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError

LONGEST = 1 << 20
"""Bytes of a record that are read; real ones have a few thousand."""

DEEPEST = 8
"""How deep objects and lists may be nested; real ones reach 4."""

MAX_COUNT = 1 << 53
"""The greatest count of steps or images."""


class RecordError(ValueError):
    """A record is not as it should be; the message says how, without naming the file."""


@dataclass(frozen=True)
class Record:
    """A JSON object; every method raises `RecordError` where the object is not as asked."""

    values: Mapping[str, Any]

    def value(self, key: str) -> Any:
        """Return a value of any kind."""
        if key not in self.values:
            raise RecordError(f"it lacks {key!r}")
        return self.values[key]

    def whole(self, key: str, low: int = 0, high: int = MAX_COUNT) -> int:
        """Return a whole number within bounds."""
        value = self.value(key)
        if type(value) is not int or not low <= value <= high:
            raise RecordError(f"{key} is {_shown(value)}, not a whole number from {low} to {high}")
        return value

    def text(self, key: str) -> str:
        """Return a short text that can be printed."""
        value = self.value(key)
        if not isinstance(value, str) or len(value) > 256 or not value.isprintable():
            raise RecordError(f"{key} is {_shown(value)}, not a short text")
        return value

    def section(self, key: str) -> "Record":
        """Return an object within this one."""
        value = self.value(key)
        if not isinstance(value, dict):
            raise RecordError(f"{key} is {_shown(value)}, not an object")
        return Record(value)

    def sections(self, key: str) -> tuple["Record", ...]:
        """Return the objects of a list."""
        value = self.value(key)
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise RecordError(f"{key} is {_shown(value)}, not a list of objects")
        return tuple(map(Record, value))

    def numbers(self) -> dict[str, Any]:
        """Return this object, whose values are all finite numbers, truth values or null, or short lists of them."""
        for key, value in self.values.items():
            for each in value if isinstance(value, list) else [value]:
                if not (each is None or (isinstance(each, (bool, int, float)) and _is_finite(each))):
                    raise RecordError(f"{key} is {_shown(value)}, not a finite number")
        return dict(self.values)

    def config(self) -> Config:
        """Return the configuration that this object is, possibly of an older version with fewer settings."""
        sections = {key: self.section(key).values for key in self.values}
        try:
            return config_from_dict(sections)
        except TrainError as error:
            raise RecordError(one_line(error)) from error


def parse_record(content: bytes | str) -> Record:
    """Return the object that a JSON text is.

    Raises:
        ValueError: it is none, or is too long or nested too deeply.
    """
    if len(content) > LONGEST:
        raise RecordError(f"it is longer than {LONGEST} bytes")
    try:
        values = json.loads(content, parse_constant=_refuse)
    except (RecursionError, MemoryError) as error:
        raise RecordError("it is nested too deeply") from error
    if not isinstance(values, dict):
        raise RecordError("it is not a JSON object")
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [value for each in inner for value in each if isinstance(value, (dict, list))]
    if level:
        raise RecordError("it is nested too deeply")
    return Record(values)


def read_record(path: Path) -> Record:
    """Return the object in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: as for `parse_record`.
    """
    with path.open("rb") as file:
        return parse_record(file.read(LONGEST + 1))


def _refuse(constant: str) -> NoReturn:
    raise RecordError(f"{constant} is not a number")


def _is_finite(value: float) -> bool:
    return abs(value) <= MAX_COUNT if isinstance(value, int) else math.isfinite(value)


def _shown(value: Any) -> str:
    return one_line(repr(value), 80)
