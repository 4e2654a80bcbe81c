"""The resized images of a part until it is written: in memory, or in an unnamed file once others need the memory."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.storage.location import Location

_CHUNK = 4 << 20


class Place(NamedTuple):
    """Where held bytes are."""

    chunk: int
    start: int
    size: int


class HeldBytes:
    """Pieces of bytes, in chunks of memory that go back to the system as a whole: those of `malloc` would stay."""

    def __init__(self, folder: Location) -> None:
        """Hold nothing yet; `folder` is where the unnamed file will be."""
        self._folder = folder
        self._chunks: list[mmap.mmap | int] = []  # in memory, or where it begins in the file
        self._used: list[int] = []
        self._file: IO[bytes] | None = None
        self.in_memory = 0
        """The number of bytes that the chunks in memory take."""

    def append(self, data: bytes) -> Place:
        """Hold a copy of some bytes, and return where it is."""
        last = self._chunks[-1] if self._chunks else 0
        if isinstance(last, int) or self._used[-1] + len(data) > len(last):
            last = mmap.mmap(-1, max(_CHUNK, len(data)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._chunks.append(last)
            self._used.append(0)
            self.in_memory += len(last)
        start = self._used[-1]
        self._used[-1] = start + len(data)
        last[start : start + len(data)] = data
        return Place(len(self._chunks) - 1, start, len(data))

    def read(self, place: Place) -> bytes:
        """Return the bytes at a place."""
        chunk = self._chunks[place.chunk]
        if isinstance(chunk, mmap.mmap):
            return chunk[place.start : place.start + place.size]
        assert self._file is not None
        self._file.seek(chunk + place.start)
        return self._file.read(place.size)

    def spill(self) -> None:
        """Move everything to the file, and give the memory back.

        Raises:
            DatasetError: the file system is full or refuses the write.
        """
        if self._file is None:
            self._file = self._folder.unnamed_file()
        with errors_naming(self._folder.text):
            for at, chunk in enumerate(self._chunks):
                if isinstance(chunk, mmap.mmap):
                    self._chunks[at] = self._file.seek(0, 2)
                    with memoryview(chunk)[: self._used[at]] as used:
                        self._file.write(used)
                    chunk.close()
            self._file.flush()
        self.in_memory = 0

    def close(self) -> None:
        """Give back the memory, and the file."""
        for chunk in self._chunks:
            if isinstance(chunk, mmap.mmap):
                chunk.close()
        if self._file is not None:
            self._file.close()


@contextmanager
def holding(folder: Location) -> Iterator[HeldBytes]:
    """Hold bytes within the block; `folder` is where the unnamed file will be."""
    held = HeldBytes(folder)
    try:
        yield held
    finally:
        held.close()
