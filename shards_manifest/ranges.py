"""Files read by offset, local or in an object store."""

import os
from typing import Any, Protocol

from in21k.shards_manifest import remote
from in21k.shards_manifest.errors import named, reworded


class RangeReader(Protocol):
    """An open file that is read by offset, from any thread."""

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class LocalRanges:
    """A local file read by offset."""

    def __init__(self, path: str, text: str) -> None:
        self._text = text
        with named(text):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        try:
            data = os.pread(self._descriptor, size, offset)
            if len(data) == size or not data:
                return data
            parts = [data]
            while data and (size := size - len(data)):  # one call gives at most 2 GiB
                offset += len(data)
                parts.append(data := os.pread(self._descriptor, size, offset))
        except OSError as error:
            raise reworded(self._text, error) from error
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class RemoteRanges:
    """An object read by offset; a read that the store fails is tried again."""

    def __init__(self, file: Any, text: str) -> None:
        """Take an open pyarrow NativeFile."""
        self._text = text
        self._file = file
        self.size = self._file.size()

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        with named(self._text):
            return remote.persist(lambda: bytes(self._file.read_at(size, offset)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
