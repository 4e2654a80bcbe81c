"""Files read by offset, local or in an object store; reads from an object store resume where they failed."""

import hashlib
import io
import os
from collections.abc import Callable
from typing import Any, Protocol

from in21k.shards_manifest.errors import DatasetError, as_dataset_error, errors_naming, one_line
from in21k.shards_manifest.storage import remote
from in21k.shards_manifest.storage.local_files import open_regular

_SMALLEST_READ = 1 << 16
"""Bytes per read once larger reads have failed repeatedly."""


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
        self._descriptor = open_regular(path, text)
        with errors_naming(text):
            self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        try:
            data = os.pread(self._descriptor, size, offset)
            if len(data) == size or not data:
                return data
            parts = [data]
            while data and (size := size - len(data)):  # one call returns at most 2 GiB
                offset += len(data)
                parts.append(data := os.pread(self._descriptor, size, offset))
        except OSError as error:
            raise as_dataset_error(self._text, error) from error
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class RemoteRanges:
    """An object read by offset; a read that fails resumes at the byte it reached.

    The store's client is not trusted to recover: after a failed or short read the object is opened again.
    """

    def __init__(self, open_file: Callable[[], Any], text: str) -> None:
        """Open the object.

        Args:
            open_file: opens the object as a pyarrow NativeFile; called again after a failure.
            text: what to call it in messages.

        Raises:
            DatasetError: there is no such object, or it cannot be read.
        """
        self._text = text
        self._open_file = open_file
        with errors_naming(text):
            self._file = remote.with_retries(open_file)
            self.size: int = self._file.size()

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the file.

        Raises:
            DatasetError: the store failed for the whole retry time, or the object has changed.
        """
        end = min(offset + size, self.size)
        parts: list[bytes] = []
        backoff: remote.Backoff | None = None
        reached, most, file = offset, size, self._file
        while reached < end:
            try:
                if backoff is not None:
                    file = self._reopened(file)
                part = bytes(file.read_at(min(most, end - reached), reached))
                problem: OSError = OSError(f"the response ends after {len(part)} bytes")
            except OSError as error:
                part, problem = b"", error
            if part:
                parts.append(part)
                reached += len(part)
                if backoff is not None:
                    backoff.restart()
            if len(part) < min(most, end - reached + len(part)):
                backoff = backoff or remote.Backoff()
                self._wait(backoff, problem, reached)
                most = max(most // 4, _SMALLEST_READ)  # a failed read returns nothing, so smaller ones lose less
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _wait(self, backoff: remote.Backoff, problem: OSError, reached: int) -> None:
        """Wait before the next try.

        Raises:
            DatasetError: a retry would not help, or the retry time is over.
        """
        if remote.is_final(problem):
            raise as_dataset_error(self._text, problem) from problem
        if not backoff.wait():
            raise DatasetError(
                f"{self._text}: reading failed at byte {reached}, {backoff.tries} times in {backoff.seconds:.0f} s; "
                f"the last error: {one_line(problem, longest=None)}"
            ) from problem

    def _reopened(self, failed: Any) -> Any:
        """Return the object opened again, by this thread or by another one since."""
        if self._file is failed:
            file = self._open_file()
            if file.size() != self.size:
                raise DatasetError(
                    f"{self._text} changed while it was being read: {file.size()} bytes, {self.size} before"
                )
            self._file = file
        return self._file


class RangeFile(io.RawIOBase):
    """A RangeReader as a Python file, for code that seeks and reads."""

    def __init__(self, ranges: RangeReader) -> None:
        self._ranges = ranges
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte and return its offset."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ranges.size}[whence]
        return self._position

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, or all remaining ones if it is negative or None."""
        left = max(self._ranges.size - self._position, 0)
        data = self._ranges.read(self._position, left if size is None or size < 0 else min(size, left))
        self._position += len(data)
        return data

    def close(self) -> None:
        """Close the reader."""
        if not self.closed:
            self._ranges.close()
        super().close()


class HashedStream:
    """A file read once from front to back, in ranges that never go backwards, and hashed on the way."""

    def __init__(self, reader: RangeReader, chunk: int) -> None:
        self._reader = reader
        self._chunk = chunk
        self._digest = hashlib.sha256()
        self._start = 0
        self._held = b""

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer at the end of the file; bytes before `offset` are discarded."""
        end = self._start + len(self._held)
        while end < offset + size and (chunk := self._next(end)):
            kept = self._held[max(0, offset - self._start) :]
            self._start, self._held = end - len(kept), kept + chunk
            end += len(chunk)
        first = offset - self._start
        return self._held[first : first + size]

    def finish(self) -> str:
        """Return the hexadecimal SHA-256 of the whole file."""
        end = self._start + len(self._held)
        self._held = b""
        while chunk := self._next(end):
            end += len(chunk)
        return self._digest.hexdigest()

    def _next(self, offset: int) -> bytes:
        chunk = self._reader.read(offset, self._chunk)
        self._digest.update(chunk)
        return chunk
