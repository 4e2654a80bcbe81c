"""What the options of a task may be, by their keys: what its command would refuse is refused before anything runs."""

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from in21k.train.config.overrides import check_value
from in21k.train.data.open_data import AUTO as ANY_LAYOUT
from in21k.train.data.open_data import LAYOUTS
from in21k.train.errors import TrainError
from in21k.train.retrieval.relevance import AUTO, CLASSES, GALLERIES, HOLIDAYS
from in21k.train.retrieval.sheet import MOST

RULES = (AUTO, HOLIDAYS, CLASSES)
"""What `relevance` may be, apart from a CSV."""

_MOST_NEIGHBORS = 1 << 20
_REMOTE_OR_PATTERN = ("://", "*", "?", "[", "{")


def require_option(key: str, value: Any) -> None:
    """Refuse a value that the option of a command would refuse.

    Args:
        key: the option's.
        value: a text or a number, or a list of them with commas; a path as the command would take it.

    Raises:
        ValueError: the value will not do; the message says what would, to follow "it must be".
    """
    _CHECKS.get(key, _any)(value)


def _any(_: Any) -> None:
    pass


def _one_of(names: tuple[str, ...], value: Any) -> None:
    if value not in names:
        raise ValueError(f"one of {', '.join(names)}")


def _share(value: Any) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError("a number of 0 or more, and below 1")


def _positive(value: Any) -> None:
    if not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
        raise ValueError("a finite number above 0")


def _numbers(value: Any) -> None:
    """Check K, or a list of it, as `transfer --knn` does."""
    parts = [part.strip() for part in str(value).split(",")]
    are_whole = all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts)
    if (
        not are_whole
        or not all(1 <= int(part) <= _MOST_NEIGHBORS for part in parts)
        or len({*map(int, parts)}) < len(parts)
    ):
        raise ValueError("a whole number above 0, or a list of different ones, such as [20, 200]")


def _sheet(value: Any) -> None:
    if type(value) is not int or not 0 <= value <= MOST:
        raise ValueError(f"a whole number from 0 to {MOST}")


def _setting(key: str, value: Any) -> None:
    """Check the value of an option that is a setting."""
    try:
        check_value(key, value, "it")
    except TrainError as error:
        raise ValueError(str(error).removeprefix("it must be ")) from error


def _path(value: Any) -> None:
    text = str(value)
    if not (any(part in text for part in _REMOTE_OR_PATTERN) or os.path.lexists(text)):
        raise ValueError("a path; there is no such file or folder")


def _rule(value: Any) -> None:
    if value not in RULES and not Path(str(value)).is_file():
        raise ValueError(f"{', '.join(RULES)} or a CSV that is there")


_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "layout": partial(_one_of, (ANY_LAYOUT, *LAYOUTS)),
    "val_share": _share,
    "annotations": _path,
    "val": _path,
    "images": _path,
    "knn": _numbers,
    "temperature": _positive,
    "relevance": _rule,
    "gallery": partial(_one_of, GALLERIES),
    "sheet": _sheet,
    "image_size": partial(_setting, "data.image_size"),
    "batch_size": partial(_setting, "data.eval_batch_size"),
    "clips": partial(_setting, "video.clips"),
}
