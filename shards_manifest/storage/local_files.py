"""Atomic writes of local files: a file appears under its name only when it is complete."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from in21k.shards_manifest.errors import errors_naming

TEMPORARY_PREFIX = ".tmp-"
"""Prefix of unfinished files; one that no process is writing may be deleted."""


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
    """Delete the unfinished files that killed writers left in a folder; subfolders are not searched."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        path.unlink(missing_ok=True)
