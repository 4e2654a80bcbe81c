"""What can be wrong with files and datasets that a user names."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


class DatasetError(Exception):
    """A path, a dataset or a parameter is not usable; the message is one line for its user."""


class NoSpaceError(DatasetError):
    """A file system is full: to try again would not help."""


class StoreError(DatasetError):
    """An object store failed every one of several tries: to try again at once would not help."""


class RetriesExhaustedError(OSError):
    """What the last of several tries of a call to an object store said."""


def one_line(problem: BaseException | str, longest: int | None = 200) -> str:
    """Return a message, or what an exception says, on one line; an exception that says nothing gives its type's name.

    Args:
        problem: another library's exception, as a rule.
        longest: characters at most; None for messages that are ours, and must not lose their end.
    """
    text = " ".join(str(problem).split())[:longest]
    return text or ("" if isinstance(problem, str) else type(problem).__name__)


@contextmanager
def errors_naming(text: str) -> Iterator[None]:
    """Turn what a file system refuses within the block into a DatasetError that names the file."""
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise as_dataset_error(text, error) from error


def as_dataset_error(text: str, error: Exception) -> DatasetError:
    """Return what a file system refused as one line that names the file."""
    if isinstance(error, FileNotFoundError):
        return DatasetError(f"{text}: there is no such file or folder")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return NoSpaceError(f"{text}: no space left on the device; free some or name another folder")
    if isinstance(error, RetriesExhaustedError):
        return StoreError(f"{text}: {one_line(error, longest=None)}")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DatasetError(f"{text}: {one_line(reason, longest=None)}")
