"""Files, local and in object stores: where they lie, ranges of them, atomic writes, digests."""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.fs as pafs

from in21k.shards_manifest.errors import DatasetError, NoSpaceError

TEMPORARY_PREFIX = ".tmp-"
"""Files of this prefix are unfinished; whoever finds one that no process writes may delete it."""


_CREDENTIALS = re.compile(r"//[^/?]*@")
"""In a URI; messages leave them out."""


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

    def __truediv__(self, name: str) -> "Location":
        return self.child(name)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> "Location":
        """The folder that holds it."""
        head, question, query = self.text.partition("?")
        above = head.rstrip("/").rpartition("/")[0]
        return Location(self.filesystem, self.path.rpartition("/")[0], f"{above or '.'}{question}{query}")

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

    def size(self) -> int | None:
        """Return the file's length in bytes, None where there is no such file."""
        with _named(self.text):
            info = self.filesystem.get_file_info(self.path)
        return int(info.size) if info.type == pafs.FileType.File else None

    def names(self) -> list[str]:
        """Return the names of what a folder holds, in byte order; none where there is no such folder."""
        with _named(self.text):
            found = self.filesystem.get_file_info(pafs.FileSelector(self.path, allow_not_found=True))
        return sorted((info.base_name for info in found), key=os.fsencode)

    def files(self) -> dict[str, int]:
        """Return the length in bytes of every file below a folder, by path relative to it, in byte order."""
        with _named(self.text):
            found = self.filesystem.get_file_info(pafs.FileSelector(self.path, allow_not_found=True, recursive=True))
        start = len(self.path) + 1
        sizes = {info.path[start:]: int(info.size) for info in found if info.type == pafs.FileType.File}
        return dict(sorted(sizes.items(), key=lambda entry: os.fsencode(entry[0])))

    @contextmanager
    def write(self) -> Iterator[IO[bytes]]:
        """Give a file to write to, which appears under its name only when the block has ended without an exception.

        Raises:
            DatasetError: the file system is full or refuses the write.
        """
        if self.is_local:
            with atomic_path(Path(self.path)) as temporary, temporary.open("wb") as file:
                yield file
            return
        temporary_name = f"{self.parent.path}/{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{self.name}"
        with _named(self.text):
            try:
                with self.filesystem.open_output_stream(temporary_name) as stream:
                    yield stream
                self.filesystem.move(temporary_name, self.path)
            except BaseException:
                _delete_quietly(self.filesystem, temporary_name)
                raise

    def write_bytes(self, content: bytes) -> None:
        """Write a whole file so that it appears complete or not at all.

        Raises:
            DatasetError: the file system is full or refuses the write.
        """
        with self.write() as file:
            file.write(content)

    def make_folder(self) -> None:
        """Create a folder and those above it, where they are missing; object stores need none.

        Raises:
            DatasetError: it cannot be created.
        """
        if self.is_local:
            make_folder(Path(self.path))

    def delete_folder(self) -> None:
        """Delete a folder with all that it holds; it may be gone already."""
        with _named(self.text):
            if self.filesystem.get_file_info(self.path).type == pafs.FileType.Directory:
                self.filesystem.delete_dir(self.path)

    def remove_temporaries(self) -> None:
        """Delete what killed writers left unfinished in a folder (not below it)."""
        for name in self.names():
            if name.startswith(TEMPORARY_PREFIX):
                _delete_quietly(self.filesystem, f"{self.path}/{name}")

    def sha256(self) -> str:
        """Return the hexadecimal SHA-256 of the file.

        Raises:
            DatasetError: it cannot be read.
        """
        digest = hashlib.sha256()
        with _named(self.text), self.filesystem.open_input_stream(self.path) as stream:
            while chunk := stream.read(8 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    def open_ranges(self) -> RangeReader:
        """Return a reader of the file's ranges.

        Raises:
            DatasetError: there is no such file, or it cannot be read.
        """
        return _LocalRanges(self) if self.is_local else _RemoteRanges(self)


def locate(text: "str | os.PathLike[str] | Location") -> Location:
    """Return the location that a path or a URI (`s3://bucket/key?endpoint_override=…`, `file://…`) names.

    Raises:
        DatasetError: the URI is malformed or of an unknown scheme.
    """
    if isinstance(text, Location):
        return text
    text = os.fspath(text)
    if "://" not in text:
        return Location(pafs.LocalFileSystem(), str(Path(text).absolute()), text)
    with _named(text):
        filesystem, path = pafs.FileSystem.from_uri(text)
    return Location(filesystem, path.rstrip("/"), _CREDENTIALS.sub("//", text))


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


def _delete_quietly(filesystem: Any, path: str) -> None:
    """Delete a file that may never have come to be."""
    with suppress(OSError):
        filesystem.delete_file(path)


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
        return NoSpaceError(f"{text}: no space left on the device; free some or name another folder")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DatasetError(f"{text}: {' '.join(reason.split())}")
