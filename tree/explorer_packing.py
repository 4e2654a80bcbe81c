"""How the explorer's page holds texts and columns of numbers in little room; `explorer-unpack.js` restores them."""

import base64
import json
import re
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SHARE_STEPS = 10_000
"""Steps from 0 to 1."""
_COARSE = 10
"""How many of them a step is from 1 % on, where the page shows a digit less."""
_DIGITS = 5
"""Significant digits of a number."""
_WNID = re.compile(r"n\d{8}")


def packed(value: Any) -> str:
    """Return JSON, deflated and in base 85 (RFC 1924), with a comma for `<`, so that it cannot end its element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode("ascii").replace("<", ",")


def packed_labels(labels: Sequence[str]) -> list[int] | str | list[str]:
    """Return WordNet ids in ascending order as the numbers by which each follows the one before; others as texts."""
    if not all(_WNID.fullmatch(label) for label in labels):
        return packed_texts(labels)
    steps = steps_of(int(label[1:]) for label in labels)
    return steps if min(steps, default=0) >= 0 else packed_texts(labels)


def packed_texts(texts: Sequence[str]) -> str | list[str]:
    """Return texts as one, a line each, or as they are if one of them has several lines."""
    return [*texts] if not texts or any("\n" in text for text in texts) else "\n".join(texts)


def packed_shares(values: FloatArray) -> list[int | None]:
    """Return shares of 0 to 1 in whole steps, as finely as the page shows them, and None where there is none."""
    steps = (value * SHARE_STEPS if np.isfinite(value) else None for value in values.tolist())
    return [
        None if step is None else round(step) if step < SHARE_STEPS / 100 else round(step / _COARSE) * _COARSE
        for step in steps
    ]


def packed_numbers(values: FloatArray) -> list[float | int | None]:
    """Return numbers with a few digits, and None where there is none."""
    return [_number(value) if np.isfinite(value) else None for value in values.tolist()]


def packed_pairs(pairs: Sequence[tuple[int, int, int]]) -> dict[str, list[int]]:
    """Return pairs of a class and a guess, with their images, as three columns in the order of the classes.

    Each class is what it is above the one before, each guess what it is above its class: small numbers, where
    classes are confused that are near each other.
    """
    ordered = sorted(pairs)
    return {
        "truths": steps_of(truth for truth, _, _ in ordered),
        "guesses": [guess - truth for truth, guess, _ in ordered],
        "images": [images for _, _, images in ordered],
    }


def steps_of(values: Iterable[int]) -> list[int]:
    """Return what each number is above the one before; the first one, above 0."""
    return [after - before for before, after in pairwise([0, *values])]


class Columns:
    """Columns of numbers, of which each is held once, however many refer to it."""

    def __init__(self) -> None:
        self.packed: list[list[float | int | None]] = []
        self._kept: dict[bytes, int] = {}

    def add(self, values: FloatArray) -> int:
        """Return the position of a column, which is added if it is not there."""
        position = self._kept.setdefault(values.astype(np.float64).tobytes(), len(self.packed))
        if position == len(self.packed):
            self.packed.append(packed_numbers(values))
        return position


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else float(f"{value:.{_DIGITS}g}")
