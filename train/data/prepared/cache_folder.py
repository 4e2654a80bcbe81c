"""The cache's own folder: marked, and reached without following a link, so that no file of a user's is ever touched.

    CACHE/in21k-cache/CACHEDIR.TAG                marks the folder; backup programs leave out a folder with this file
    CACHE/in21k-cache/.lock                       locked by the process that makes room
    CACHE/in21k-cache/<manifest digest>/shards.json   the record: the shards that the cache may keep beside it

A file that no record names, a link and anything else that is not a regular file is neither counted nor deleted.
"""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from in21k.shards_manifest.storage.local_files import TEMPORARY_PREFIX
from in21k.train.errors import TrainError

NAME = "in21k-cache"
TAG = "CACHEDIR.TAG"
RECORD = "shards.json"
LOCK = ".lock"

_TAG_CONTENT = b"Signature: 8a477f597d28d172789f06886806bc55\n# Shards kept by in21k-train --cache; safe to delete.\n"
_LARGEST_RECORD = 16 << 20
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""No link is followed, and opening a pipe does not wait for its other end."""


@dataclass(frozen=True)
class Folder:
    """An open folder, whose entries are reached through its descriptor."""

    descriptor: int
    text: str
    """What messages call it."""

    def open_file(self, name: str, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        """Return a descriptor of a regular file.

        Raises:
            OSError: it cannot be opened.
            TrainError: it is not a regular file.
        """
        try:
            descriptor = os.open(name, flags | _SAFE, mode, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise _foreign(f"{self.text}/{name}") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _foreign(f"{self.text}/{name}")
        return descriptor

    def names(self) -> set[str]:
        """Return the names of all entries."""
        return set(os.listdir(self.descriptor))  # noqa: PTH208 - pathlib knows no descriptors

    def files(self, names: Collection[str]) -> dict[str, os.stat_result]:
        """Return those of the names that are regular files, with their status."""
        found = {}
        for name in self.names().intersection(names):
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    found[name] = status
        return found

    def unlink(self, name: str) -> None:
        """Delete a file, or a link itself, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        os.rename(old, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def write(self, name: str, content: bytes, mode: int) -> None:
        """Write a small file atomically; whoever calls it holds a lock against others."""
        temporary = f"{TEMPORARY_PREFIX}{name}"
        self.unlink(temporary)
        descriptor = self.open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        self.rename(temporary, name)

    @contextmanager
    def subfolder(self, name: str) -> Iterator["Folder"]:
        """Open a folder within this one for the block.

        Raises:
            OSError: it is missing or cannot be opened.
            TrainError: it is a link or a file.
        """
        with _opened(name, f"{self.text}/{name}", self.descriptor) as folder:
            yield folder

    @contextmanager
    def locked(self, name: str, mode: int, *, wait: bool = True) -> Iterator[bool]:
        """Hold a file's lock within the block, and yield True; yield False if it is taken and `wait` is off."""
        try:
            descriptor = self.open_file(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
            os.fchmod(descriptor, mode)
        except FileExistsError:
            descriptor = self.open_file(name, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(descriptor)


@contextmanager
def opened_cache(cache: Path) -> Iterator[Folder]:
    """Open the cache's own folder within the folder that the user named."""
    path = cache / NAME
    with _opened(str(path), str(path)) as folder:
        yield folder


def make_cache(cache: Path, dataset: str, shards: Collection[str]) -> None:
    """Create the cache's own folder, its mark, and a dataset's folder with its record, as far as they are missing.

    Args:
        cache: the folder that the user named.
        dataset: the name of the dataset's folder.
        shards: the names of the files that the cache may keep there.

    Raises:
        OSError: they cannot be written.
        TrainError: something else has the name of one of them.
    """
    cache.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(cache.stat().st_mode)
    with suppress(FileExistsError):
        (cache / NAME).mkdir()
        (cache / NAME).chmod(mode)
    with opened_cache(cache) as root:
        _require_ours(root)
        with root.locked(LOCK, mode & 0o666):
            if not root.files([TAG]):
                root.write(TAG, _TAG_CONTENT, mode & 0o666)
            with suppress(FileExistsError):
                os.mkdir(dataset, dir_fd=root.descriptor)
                os.chmod(dataset, mode, dir_fd=root.descriptor)
            with root.subfolder(dataset) as folder:
                if recorded(folder) != set(shards):
                    folder.write(
                        RECORD, json.dumps({"shards": sorted(shards)}, indent=1).encode() + b"\n", mode & 0o666
                    )


def recorded(folder: Folder) -> set[str]:
    """Return the names of the shards that a folder's record names; none if it has no sound record."""
    try:
        with os.fdopen(folder.open_file(RECORD), "rb") as file:
            content = file.read(_LARGEST_RECORD + 1)
        names = json.loads(content)["shards"] if len(content) <= _LARGEST_RECORD else []
        return {name for name in names if name.endswith(".tar") and name[:1] != "." and "/" not in name}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, TrainError):
        return set()


def recorded_files(root: Folder) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield the complete and the unfinished shards in the cache: dataset's folder, name, status."""
    for dataset in root.names():
        with suppress(OSError, TrainError), root.subfolder(dataset) as folder:
            shards = recorded(folder)
            for name, status in folder.files(shards | {f"{TEMPORARY_PREFIX}{shard}" for shard in shards}).items():
                yield dataset, name, status


def _require_ours(root: Folder) -> None:
    """Refuse a folder that has the name of ours and no mark, but holds something."""
    if root.names() - {LOCK, f"{TEMPORARY_PREFIX}{TAG}"} and not root.files([TAG]):
        raise _foreign(root.text)
    if root.files([TAG]):
        with os.fdopen(root.open_file(TAG), "rb") as file:
            if file.read(len(_TAG_CONTENT) + 1) != _TAG_CONTENT:
                raise _foreign(root.text)


@contextmanager
def _opened(path: str, text: str, within: int | None = None) -> Iterator[Folder]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _SAFE, dir_fd=within)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _foreign(text) from error
        raise
    try:
        yield Folder(descriptor, text)
    finally:
        os.close(descriptor)


def _foreign(text: str) -> TrainError:
    return TrainError(f"{text} is not the cache's own; move it away or give another --cache")
