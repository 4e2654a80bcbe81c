"""What every raw dump offers: its images, class by class or in the order in which it stores them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from in21k.prep.records import RawImage, Reject


@dataclass(frozen=True)
class RawClass:
    """The images of one class that are stored together; a class may occur more than once."""

    wnid: str
    images: list[RawImage]
    rejects: list[Reject]
    end: int
    """How much of the dump has been read so far, in its `unit`."""


@dataclass(frozen=True)
class RawBatch:
    """Images of any classes, in the order in which they are stored."""

    wnids: list[str]
    """The class of each image."""
    images: list[RawImage]
    rejects: list[Reject]
    end: int
    """How much of the dump has been read so far, in its `unit`."""
    named: str = ""
    """The class of all of them, if they are stored by class; it may have none."""


class RawDump(Protocol):
    """A raw dump that is stored class by class, in any layout."""

    is_mixed: Literal[False]
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


class MixedDump(Protocol):
    """A raw dump in which the images of a class may lie anywhere."""

    is_mixed: Literal[True]
    layout: str
    size: int
    """Its length, in `unit`."""
    unit: str
    """What `size` and `RawBatch.end` count."""

    def identity(self) -> dict[str, Any]:
        """Return what distinguishes this dump from others: its layout, length and a digest of what is cheap to read."""
        ...

    def batches(self) -> Iterator[RawBatch]:
        """Yield its images in the order in which they are stored.

        Raises:
            PrepError: it is truncated, or damaged.
        """
        ...


def identity_of(dump: RawDump | MixedDump) -> dict[str, Any]:
    """Return what distinguishes a dump from others; it also says whether its classes lie mixed."""
    return {**dump.identity(), **({"mixed": True} if dump.is_mixed else {})}
