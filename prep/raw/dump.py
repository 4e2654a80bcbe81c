"""What every raw dump offers: its classes with their images, in the order in which it stores them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from in21k.prep.records import RawImage, Reject


@dataclass(frozen=True)
class RawClass:
    """The images of one class that are stored together; a class may occur more than once."""

    wnid: str
    images: list[RawImage]
    rejects: list[Reject]
    end: int
    """How much of the dump has been read so far, in its `unit`."""


class RawDump(Protocol):
    """A raw dump of any layout."""

    layout: str
    size: int
    """Its length in bytes; for a folder, the number of classes."""
    unit: str
    """What `size` and `RawClass.end` count: `B` or `class`."""

    def identity(self) -> dict[str, Any]:
        """Return what distinguishes this dump from others: its layout, length and a digest of what is cheap to read."""
        ...

    def classes(self) -> Iterator[RawClass]:
        """Yield its classes in the order in which they are stored.

        Raises:
            PrepError: it is truncated, or damaged between classes.
        """
        ...
