"""Atomic writes of local files: a file appears under its name only when it is complete."""

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from in21k.shards_manifest.errors import DatasetError, errors_naming

TEMPORARY_PREFIX = ".tmp-"
"""Prefix of unfinished files; one that no process is writing may be deleted."""

_ELSEWHERE = re.compile(r"://|[*?\[{]")
"""In a URI, or a pattern of files."""

_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]+-.")


def is_missing(text: str) -> bool:
    """Return whether a text is a path on this machine that leads nowhere; a URI and a pattern of files are not."""
    return bool(text) and not _ELSEWHERE.search(text) and not Path(text).exists()


def local_path(text: str) -> Path:
    """Return the path that a text names on this machine, for what cannot lie in an object store.

    Raises:
        DatasetError: it is a URI, of which a path would make a folder named `s3:`.
    """
    if "://" in text:
        raise DatasetError(f"{text}: only a path on this machine will do here, not a URI; give a local one")
    return Path(text)


def open_regular(path: str, text: str) -> int:
    """Return a descriptor for reading a regular file; opening anything else, such as a FIFO, does not wait.

    Args:
        path: the file; a symbolic link to a regular file will do.
        text: what to call it in messages.

    Raises:
        DatasetError: there is no such file, or it is not a regular one.
    """
    with errors_naming(text):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            require_regular(os.fstat(descriptor).st_mode, text)
        except DatasetError:
            os.close(descriptor)
            raise
        return descriptor


def require_regular(mode: int, text: str) -> None:
    """Refuse a FIFO, a device, a socket or a folder where a file is expected.

    Raises:
        DatasetError: the mode is not that of a regular file.
    """
    if not stat.S_ISREG(mode):
        raise DatasetError(f"{text} is not a regular file; put the file itself there")


def first_link(folder: Path, name: str) -> str | None:
    """Return the first symbolic link on the way from a folder to `name` in it, itself included; None if none is."""
    for part in reversed((Path(name), *Path(name).parents[:-1])):
        if (folder / part).is_symlink():
            return str(part)
    return None


def names_in(folder: Path) -> list[str]:
    """Return the names of a folder's entries, whatever their bytes; none if there is no such folder.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return []


def regular_files(folder: Path) -> dict[str, int]:
    """Return the length in bytes of every regular file below a folder, by relative path; linked folders are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    sizes: dict[str, int] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            entries = list(os.scandir(folder / below))
        except FileNotFoundError:
            continue  # none there, or deleted meanwhile
        for entry in entries:
            name = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            elif entry.is_file():
                sizes[name] = entry.stat().st_size
    return sizes


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush the file to disk and rename it, on failure delete it.

    Raises:
        DatasetError: the file system is full or refuses the write.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{path.name}")
    try:
        with errors_naming(str(path)):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a whole file atomically.

    Raises:
        DatasetError: the file system is full or refuses the write.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def make_folder(path: Path) -> None:
    """Create a folder and its parents if they do not exist.

    Raises:
        DatasetError: it cannot be created.
    """
    with errors_naming(str(path)):
        path.mkdir(parents=True, exist_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Delete the unfinished files that killed writers left in a folder; subfolders are neither searched nor deleted."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if _TEMPORARY.match(path.name) and (path.is_symlink() or not path.is_dir()):  # others are not ours
            path.unlink(missing_ok=True)
