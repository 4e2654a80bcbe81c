"""What can be said of a key of a summary: its kind, which decides how texts show it, and its label."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a value is; any may be None where there is none."""

    COUNT = "count"
    """A whole number of things."""
    NUMBER = "number"
    """A whole number that counts nothing: a seed, a side in pixels."""
    BYTES = "bytes"
    SECONDS = "seconds"
    SHARE = "share"
    """From 0 to 1."""
    SCORE = "score"
    """Another number: a loss, a distance."""
    RATE = "rate"
    """A number per second."""
    TEXT = "text"
    PATH = "path"
    FLAG = "flag"
    """True or false."""
    LEVELS = "levels"
    """A number per level of the hierarchy, under the level as a text."""
    TEXTS = "texts"
    """A list of texts."""
    COUNTS = "counts"
    """A list of whole numbers."""
    VALUES = "values"
    """An object whose keys are data, such as the reasons of rejects."""
    ROWS = "rows"
    """A list of objects whose keys are declared, too."""
    ANY = "any"
    """A setting's value: a text, a number, true or false."""


@dataclass(frozen=True)
class Fact:
    """What a key of a summary means."""

    kind: Kind
    label: str
    """What texts call it."""
    shows_zero: bool = True
    """Whether texts show it where it is 0; a count that is usually 0 is shown only if it is not."""


def facts(kind: Kind, labels: Mapping[str, str], *, shows_zero: bool = True) -> dict[str, Fact]:
    """Return facts of one kind, by key."""
    return {key: Fact(kind, label, shows_zero) for key, label in labels.items()}


SHARED: Mapping[str, Fact] = {
    **facts(Kind.COUNT, {"classes": "classes", "images": "images"}),
    **facts(Kind.NUMBER, {"image_size": "image size in pixels", "level": "level"}),
    **facts(Kind.SECONDS, {"seconds": "took"}),
    **facts(Kind.RATE, {"images_per_second": "images per second"}),
    **facts(
        Kind.TEXT,
        {
            "wnid": "wnid",
            "name": "name",
            "gloss": "gloss",
            "key": "key",
            "split": "split",
            "label": "label",
            "kind": "kind",
            "sha256": "SHA-256",
        },
    ),
    **facts(Kind.PATH, {"path": "path", "table": "table", "page": "page", "exported": "exported", "output": "output"}),
}
"""The keys that both programs use."""
