"""A file or folder, local or in an object store: read, list, write atomically, delete."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from in21k.shards_manifest.errors import DatasetError, errors_naming, without_secrets
from in21k.shards_manifest.storage import fsspec_files, remote
from in21k.shards_manifest.storage.local_files import (
    TEMPORARY_PREFIX,
    atomic_path,
    first_link,
    make_folder,
    names_in,
    regular_files,
    remove_temporaries,
    require_regular,
)
from in21k.shards_manifest.storage.ranges import LocalRanges, RangeFile, RangeReader, RemoteRanges

CHUNK = 8 << 20
"""Bytes per read of a whole file."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Location:
    """A file or folder, local or in an object store that pyarrow.fs knows."""

    filesystem: Any
    """A pyarrow.fs.FileSystem."""
    path: str
    """The path within the file system."""
    text: str
    """What to call it in messages and records: what the user typed, without secrets. `locate` finds it again if the
    environment gives access."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.filesystem, self.path, self.text)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def child(self, name: str) -> "Location":
        """Return a file or folder within this folder; `name` may contain slashes."""
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
        """The folder that contains it."""
        head, question, query = self.text.partition("?")
        above = head.rstrip("/").rpartition("/")[0]
        return Location(self.filesystem, self.path.rpartition("/")[0], f"{above or '.'}{question}{query}")

    def exists(self) -> bool:
        """Return whether the file exists; a folder does not count."""
        return self.size() is not None

    def read_bytes(self) -> bytes:
        """Return the whole file.

        Raises:
            DatasetError: there is no such file, or it cannot be read.
        """
        ranges = self.open_ranges()
        try:
            return ranges.read(0, ranges.size)
        finally:
            ranges.close()

    def open_input(self) -> Any:
        """Return the file as a pyarrow NativeFile with random access; failed reads from an object store are retried.

        Raises:
            DatasetError: there is no such file, or it cannot be read.
        """
        if not self.is_local:
            return pa.PythonFile(RangeFile(self.open_ranges()), mode="r")
        with errors_naming(self.text):
            require_regular(Path(self.path).stat().st_mode, self.text)
            return self.filesystem.open_input_file(self.path)

    def sha256(self) -> str:
        """Return the hexadecimal SHA-256 of the file.

        Raises:
            DatasetError: it cannot be read.
        """
        digest = hashlib.sha256()
        ranges = self.open_ranges()
        try:
            for offset in range(0, ranges.size, CHUNK):
                digest.update(ranges.read(offset, CHUNK))
        finally:
            ranges.close()
        return digest.hexdigest()

    def open_ranges(self) -> RangeReader:
        """Return a reader of the file's ranges.

        Raises:
            DatasetError: there is no such file, or it cannot be read.
        """
        if self.is_local:
            return LocalRanges(self.path, self.text)
        return RemoteRanges(lambda: self.filesystem.open_input_file(self.path), self.text)

    def size(self) -> int | None:
        """Return the file's length in bytes, None if there is no such file."""
        with errors_naming(self.text):
            info = self._with_retries(lambda: self.filesystem.get_file_info(self.path))
        return int(info.size) if info.type == pafs.FileType.File else None

    def names(self) -> list[str]:
        """Return the names of a folder's entries in byte order; none if there is no such folder."""
        with errors_naming(self.text):
            if self.is_local:
                return sorted(names_in(Path(self.path)), key=os.fsencode)
            selector = pafs.FileSelector(self.path, allow_not_found=True)
            found = self._with_retries(lambda: self.filesystem.get_file_info(selector))
        return sorted(info.base_name for info in found)

    def files(self) -> dict[str, int]:
        """Return the length in bytes of every file below a folder, by path relative to it, in byte order.

        Symbolic links to folders are not followed.
        """
        with errors_naming(self.text):
            sizes = regular_files(Path(self.path)) if self.is_local else self._objects()
        return dict(sorted(sizes.items(), key=lambda entry: os.fsencode(entry[0])))

    def first_link(self, name: str) -> str | None:
        """Return the first symbolic link on the way to `name` within this folder, itself included; None if none is."""
        return first_link(Path(self.path), name) if self.is_local else None

    def require_own_folders(self, *names: str) -> None:
        """Refuse to write to folders within this one where a symbolic link leads elsewhere.

        Args:
            names: the folders, relative to this one; they need not exist.

        Raises:
            DatasetError: one of them, or a folder on the way, is a symbolic link.
        """
        for name in names:
            if link := self.first_link(name):
                raise DatasetError(
                    f"{self.child(link).text} is a symbolic link, and nothing is written through one; "
                    "put the folder itself there"
                )

    @contextmanager
    def write(self) -> Iterator[IO[bytes]]:
        """Yield a file to write to, which appears under its name when the block ends without an exception.

        Raises:
            DatasetError: the file system is full or refuses the write.
        """
        if self.is_local:
            with atomic_path(Path(self.path)) as temporary, temporary.open("wb") as file:
                yield file
            return
        with errors_naming(self.text), tempfile.TemporaryFile() as file:
            yield file
            remote.upload(self.filesystem, self.path, file)

    def unnamed_file(self) -> IO[bytes]:
        """Return a file to write and read that ends with the process; in this folder if it is on this machine.

        Raises:
            DatasetError: the file system refuses it.
        """
        with errors_naming(self.text):
            if not self.is_local:
                return tempfile.TemporaryFile()
            return tempfile.TemporaryFile(dir=self.path, prefix=f"{TEMPORARY_PREFIX}0-")  # named where it must be

    def write_bytes(self, content: bytes) -> None:
        """Write a whole file atomically.

        Raises:
            DatasetError: the file system is full or refuses the write.
        """
        with self.write() as file:
            file.write(content)

    def make_folder(self) -> None:
        """Create a folder and its parents if they do not exist; object stores need none.

        Raises:
            DatasetError: it cannot be created.
        """
        if self.is_local:
            make_folder(Path(self.path))

    def delete_file(self) -> None:
        """Delete the file if it exists.

        Raises:
            DatasetError: the file system refuses.
        """
        with errors_naming(self.text):
            if not self.is_local:
                remote.delete_file(self.filesystem, self.path)
            elif self.filesystem.get_file_info(self.path).type == pafs.FileType.File:
                self.filesystem.delete_file(self.path)

    def delete_folder(self) -> None:
        """Delete a folder and everything in it, if it exists; of a symbolic link, only the link."""
        with errors_naming(self.text):
            if not self.is_local:
                remote.delete_folder(self.filesystem, self.path)
            elif Path(self.path).is_symlink():
                Path(self.path).unlink()
            elif self.filesystem.get_file_info(self.path).type == pafs.FileType.Directory:
                self.filesystem.delete_dir(self.path)

    def remove_temporaries(self) -> None:
        """Delete the unfinished files that killed writers left in a folder; object stores show none."""
        if self.is_local:
            remove_temporaries(Path(self.path))

    def _objects(self) -> dict[str, int]:
        found = self.filesystem.get_file_info(pafs.FileSelector(self.path, allow_not_found=True, recursive=True))
        start = len(self.path) + 1
        return {info.path[start:]: int(info.size) for info in found if info.type == pafs.FileType.File}

    def _with_retries(self, call: Callable[[], Result]) -> Result:
        return call() if self.is_local else remote.with_retries(call)


def _unpickled(filesystem: Any, path: str, text: str) -> Location:
    return Location(remote.with_client_settings(filesystem), path, text)


def locate(text: "str | os.PathLike[str] | Location") -> Location:
    """Return the location of a path or URI (`s3://bucket/key?endpoint_override=…`, `gs://…`, `hf://datasets/…`).

    Raises:
        DatasetError: the URI is malformed or has an unknown scheme, or the path is not valid UTF-8.
    """
    if isinstance(text, Location):
        return text
    text = os.fspath(text)
    if not text.isascii() and not _is_unicode(text):
        raise DatasetError(
            f"{text}: the path is not valid UTF-8, which pyarrow needs; rename it, or set a UTF-8 locale"
        )
    if "://" not in text:
        return Location(pafs.LocalFileSystem(), str(Path(text).absolute()), text)
    shown = without_secrets(text)
    with errors_naming(shown):
        if text.partition(":")[0] in fsspec_files.SCHEMES:
            filesystem, path = fsspec_files.open_fsspec(text)
        else:
            filesystem, path = pafs.FileSystem.from_uri(text)
        filesystem = remote.with_client_settings(filesystem)
    return Location(filesystem, path.rstrip("/"), shown)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
