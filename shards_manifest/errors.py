"""Errors about the files and datasets that a user names."""

import errno
import re
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

_URI_USER = re.compile(r"(:/{1,2})(?:[^/?#\s]*@|[^/?#\s]*:[^?#\s]*@)")
"""User and password in a URI, also where a path made one slash of two, or the password's slashes are not escaped."""

_TELLING = "key|secret|token|password|credential|signature|sig"
_SECRET_OPTIONS = re.compile(
    rf"""([?&])(?:[^=&?\s]*(?:{_TELLING})[^=&?\s]*=[^&\s'"]*(&|(?![^\s'"])))+""", re.IGNORECASE
)
"""Options in a URI's query whose names tell that they are secret."""


class DatasetError(Exception):
    """A path, dataset or parameter is unusable; the message is one line for the user, without secrets."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_secrets(part) if isinstance(part, str) else part for part in args))


class NoSuchSampleError(DatasetError, KeyError):
    """No sample of a dataset has a key."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # a KeyError's own is in quotes


class NoSuchSplitError(DatasetError, ValueError):
    """A dataset has no split of a name."""


class DamagedTableError(DatasetError):
    """A table is damaged, or something else than it should be."""


class NoSpaceError(DatasetError):
    """A file system is full; retrying would not help."""


class StoreError(DatasetError):
    """An object store failed on every retry; retrying at once would not help."""


class RetriesExhaustedError(OSError):
    """A call to an object store failed for the whole retry time; the message is the last failure's."""


def without_secrets(text: str) -> str:
    """Return a text whose URIs have lost what gives access: user, password, and options such as `session_token`."""
    if ":/" not in text:
        return text
    return _SECRET_OPTIONS.sub(lambda found: found[1] if found[2] else "", _URI_USER.sub(r"\1", text))


def traceback_without_secrets() -> str:
    """Return the traceback of the exception being handled, fit to be printed."""
    return "".join(f"{escaped(line)}\n" for line in without_secrets(traceback.format_exc()).splitlines())


def escaped(text: str) -> str:
    r"""Return a text from outside, such as a name, as it may be printed: what a terminal would obey is escaped.

    These are control characters, newlines among them, marks of writing direction, and bytes that are no Unicode, which
    `os.fsdecode` gives as lone surrogates: `\n`, `\x1b`, `\u202e`, `\xff`.
    """
    if text.isprintable():
        return text
    return "".join(letter if _is_harmless(letter) else _escape(letter) for letter in text)


def _is_harmless(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _escape(letter: str) -> str:
    undecodable = "\udc80" <= letter <= "\udcff"
    return f"\\x{ord(letter) & 0xFF:02x}" if undecodable else letter.encode("unicode_escape").decode("ascii")


def one_line(problem: BaseException | str, longest: int | None = 200) -> str:
    """Return a message on one line, without secrets, escaped; for an exception without a message, the name of its type.

    Args:
        problem: the message, or the exception that carries it, usually from another library.
        longest: maximum length in characters; None for our own messages, which must not lose their end.
    """
    text = escaped(" ".join(without_secrets(str(problem)).split()))[:longest]
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
