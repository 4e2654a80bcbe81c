"""Files, local and in object stores: where they lie, ranges of them, atomic writes, digests."""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.fs as pafs

from in21k.shards_manifest.errors import DatasetError

TEMPORARY_PREFIX = ".tmp-"
"""Files of this prefix are unfinished; whoever finds one that no process writes may delete it."""


class RangeReader(Protocol):
    """An open file that is read by offset, from any thread."""

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@dataclass(frozen=True)
class Location:
    """A file or folder, local or in an object store that pyarrow.fs knows."""

    filesystem: Any
    """A pyarrow.fs.FileSystem."""
    path: str
    """The path within the file system."""
    text: str
    """What to call it in messages."""

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def child(self, name: str) -> "Location":
        """Return a file or folder below; `name` may hold slashes."""
        head, question, query = self.text.partition("?")
        return Location(self.filesystem, f"{self.path}/{name}", f"{head.rstrip('/')}/{name}{question}{query}")

    def exists(self) -> bool:
        """Return whether there is such a file."""
        with _named(self.text):
            return bool(self.filesystem.get_file_info(self.path).type == pafs.FileType.File)

    def read_bytes(self) -> bytes:
        """Return the whole file.

        Raises:
            DatasetError: there is no such file, or it cannot be read.
        """
        with _named(self.text), self.filesystem.open_input_stream(self.path) as stream:
            return bytes(stream.read())

    def open_input(self) -> Any:
        """Return the file as a pyarrow NativeFile with random access.

        Raises:
            DatasetError: there is no such file, or it cannot be read.
        """
        with _named(self.text):
            return self.filesystem.open_input_file(self.path)

    def open_ranges(self) -> RangeReader:
        """Return a reader of the file's ranges.

        Raises:
            DatasetError: there is no such file, or it cannot be read.
        """
        return _LocalRanges(self) if self.is_local else _RemoteRanges(self)


def locate(text: str | os.PathLike[str]) -> Location:
    """Return the location that a path or a URI (`s3://bucket/key?endpoint_override=…`, `file://…`) names.

    Raises:
        DatasetError: the URI is malformed or of an unknown scheme.
    """
    text = os.fspath(text)
    if "://" not in text:
        return Location(pafs.LocalFileSystem(), str(Path(text).absolute()), text)
    with _named(text):
        filesystem, path = pafs.FileSystem.from_uri(text)
    return Location(filesystem, path.rstrip("/"), text)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success flush it to disk and rename it, on failure delete it.

    Raises:
        DatasetError: the file system is full or refuses the write.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{path.name}")
    try:
        with _named(str(path)):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a whole file so that it appears complete or not at all.

    Raises:
        DatasetError: the file system is full or refuses the write.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def make_folder(path: Path) -> None:
    """Create a folder and those above it, where they are missing.

    Raises:
        DatasetError: it cannot be created.
    """
    with _named(str(path)):
        path.mkdir(parents=True, exist_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Delete what killed writers left unfinished in a folder (not below it)."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        path.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a local file.

    Raises:
        DatasetError: it cannot be read.
    """
    with _named(str(path)), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _LocalRanges:
    def __init__(self, location: Location) -> None:
        self._text = location.text
        with _named(location.text):
            self._descriptor = os.open(location.path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._descriptor, size, offset)
            if len(data) == size or not data:
                return data
            parts = [data]
            while data and (size := size - len(data)):  # one call gives at most 2 GiB
                offset += len(data)
                parts.append(data := os.pread(self._descriptor, size, offset))
        except OSError as error:
            raise _reworded(self._text, error) from error
        return b"".join(parts)

    def close(self) -> None:
        os.close(self._descriptor)


class _RemoteRanges:
    def __init__(self, location: Location) -> None:
        self._text = location.text
        self._file = location.open_input()
        self.size = self._file.size()

    def read(self, offset: int, size: int) -> bytes:
        with _named(self._text):
            return bytes(self._file.read_at(size, offset))

    def close(self) -> None:
        self._file.close()


@contextmanager
def _named(text: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise _reworded(text, error) from error


def _reworded(text: str, error: Exception) -> DatasetError:
    """Return what a file system refused as one line that names the file."""
    if isinstance(error, FileNotFoundError):
        return DatasetError(f"{text}: there is no such file or folder")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DatasetError(f"{text}: no space left on the device; free some or name another folder")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DatasetError(f"{text}: {' '.join(reason.split())}")
