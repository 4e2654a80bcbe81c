"""Errors about the files and datasets that a user names."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


class DatasetError(Exception):
    """A path, dataset or parameter is unusable; the message is one line for the user."""


class NoSpaceError(DatasetError):
    """A file system is full; retrying would not help."""


class StoreError(DatasetError):
    """An object store failed on every retry; retrying at once would not help."""


class RetriesExhaustedError(OSError):
    """A call to an object store failed for the whole retry time; the message is the last failure's."""


def one_line(problem: BaseException | str, longest: int | None = 200) -> str:
    """Return a message on one line; for an exception without a message, the name of its type.

    Args:
        problem: the message, or the exception that carries it, usually from another library.
        longest: maximum length in characters; None for our own messages, which must not lose their end.
    """
    text = " ".join(str(problem).split())[:longest]
    return text or ("" if isinstance(problem, str) else type(problem).__name__)


@contextmanager
def errors_naming(text: str) -> Iterator[None]:
    """Turn errors of the file system within the block into a DatasetError that begins with `text`, the file's name."""
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise as_dataset_error(text, error) from error


def as_dataset_error(text: str, error: Exception) -> DatasetError:
    """Return an error of the file system as a one-line DatasetError that begins with `text`, the file's name."""
    if isinstance(error, FileNotFoundError):
        return DatasetError(f"{text}: there is no such file or folder")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return NoSpaceError(f"{text}: no space left on the device; free some or name another folder")
    if isinstance(error, RetriesExhaustedError):
        return StoreError(f"{text}: {one_line(error, longest=None)}")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DatasetError(f"{text}: {one_line(reason, longest=None)}")
