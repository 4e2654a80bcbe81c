"""What every raw source offers: its classes with their images, in the order in which they lie in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from in21k.prep.records import RawImage, Reject


@dataclass(frozen=True)
class RawClass:
    """What a dump holds of one class in one place; a class may come more than once."""

    wnid: str
    images: list[RawImage]
    rejects: list[Reject]
    end: int
    """Bytes of the dump gone through by now; for folders, class folders."""


class RawDump(Protocol):
    """A raw dump of any layout."""

    layout: str
    size: int
    """Its length in bytes; for folders, the number of class folders."""
    unit: str
    """What `size` and `RawClass.end` count."""

    def identity(self) -> dict[str, Any]:
        """Return what tells this dump from another one: layout, length, digest of what is cheap to read."""
        ...

    def classes(self) -> Iterator[RawClass]:
        """Yield its classes in the order in which they lie in it.

        Raises:
            PrepError: it is cut short or damaged between classes.
        """
        ...
