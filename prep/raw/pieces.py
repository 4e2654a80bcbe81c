"""A dump in several files, named by a pattern, read as if it were one; and a file without the zeros that pad it."""

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import accumulate

from braceexpand import braceexpand

from in21k.prep.errors import PrepError
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader

_TAIL = 1 << 16
_MOST_EXPANDED = 1_000_000
"""Names that ranges in braces may stand for."""
_TRAILER_ZEROS = 4
"""Zeros that a gzip's trailer may end with, for content of up to 4 GiB in length; as many behind it do no harm."""


class JoinedRanges:
    """Files read as one."""

    def __init__(self, readers: Sequence[RangeReader]) -> None:
        self._readers = readers
        self._starts = [0, *accumulate(reader.size for reader in readers)]
        self.size = self._starts[-1]

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the last file."""
        end = min(offset + size, self.size)
        parts = []
        at = bisect_right(self._starts, offset) - 1
        while offset < end:
            stop = min(end, self._starts[at + 1])
            parts.append(self._readers[at].read(offset - self._starts[at], stop - offset))
            offset, at = stop, at + 1
        return b"".join(parts)

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers:
            reader.close()


class TrimmedRanges:
    """The beginning of a file."""

    def __init__(self, reader: RangeReader, size: int) -> None:
        self._reader = reader
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of what is left of the file."""
        return self._reader.read(offset, max(0, min(size, self.size - offset)))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def is_pattern(location: Location) -> bool:
    """Return whether a location is a pattern of files' names, and not a file that is called so."""
    return any(character in location.name for character in "*?[{") and not location.exists()


def open_pieces(location: Location) -> RangeReader:
    """Open a file, or all files that a pattern names, in the order of the numbers and letters in their names.

    Raises:
        DatasetError: there is no such file.
    """
    if not is_pattern(location):
        return location.open_ranges()
    return JoinedRanges([location.parent.child(name).open_ranges() for name in matching(location)])


def matching(pattern: Location) -> list[str]:
    """Return the names that fit a pattern, in the order of the numbers and letters in them.

    Each name or pattern that braces stand for must fit at least one.

    Raises:
        PrepError: there are none.
    """
    there = frozenset(pattern.parent.names())
    names: set[str] = set()
    for each in _expanded(pattern):
        is_plain = not any(character in each for character in "*?[")
        fitting = {each} & there if is_plain else {name for name in there if fnmatchcase(name, each)}
        if not fitting:
            which = "" if each == pattern.name else f" as {each}"
            raise PrepError(f"{pattern.text}: no file has such a name{which}")
        names |= fitting
    return sorted(names, key=_natural)


def _expanded(pattern: Location) -> list[str]:
    """Return the patterns that braces stand for, as in `train-{0000..4095}.tar`.

    Raises:
        PrepError: they are not closed, or stand for too many.
    """
    numbers = re.findall(r"\{([0-9]+)\.\.([0-9]+)[.}]", pattern.name)
    if math.prod(abs(int(last) - int(first)) + 1 for first, last in numbers) > _MOST_EXPANDED:
        raise PrepError(f"{pattern.text}: the braces stand for over {_MOST_EXPANDED:,} names; use * instead")
    try:
        return list(braceexpand(pattern.name))
    except ValueError:  # UnbalancedBracesError
        raise PrepError(f"{pattern.text}: a brace is not closed; write ranges as {{0000..4095}}") from None


def without_padding(reader: RangeReader) -> RangeReader:
    """Return a reader of a gzip without the zeros that its writer may have padded it with."""
    end = reader.size
    while end:
        start = max(0, end - _TAIL)
        used = len(reader.read(start, end - start).rstrip(b"\0"))
        if used:
            kept = start + used + _TRAILER_ZEROS
            return reader if kept >= reader.size else TrimmedRanges(reader, kept)
        end = start
    return reader


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key by which 2 comes before 10."""
    words = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words], name
