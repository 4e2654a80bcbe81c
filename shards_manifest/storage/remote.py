"""Object stores fail now and then: calls with retries, and uploads that appear whole or not at all."""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, TypeVar

import pyarrow.fs as pafs

from in21k.shards_manifest.errors import DatasetError, RetriesExhaustedError

Result = TypeVar("Result")

RETRY_SECONDS_VARIABLE = "IN21K_RETRY_SECONDS"
"""The environment variable that sets the retry time; worker processes inherit it."""

RETRY_SECONDS = 60.0
"""The retry time if the variable is not set."""

_CHECKSUMS_VARIABLE = "AWS_RESPONSE_CHECKSUM_VALIDATION"
_FIRST_DELAY = 0.05
_LONGEST_DELAY = 16.0
_CLIENT_TRIES = 3
_CHUNK = 8 << 20


def retry_seconds() -> float:
    """Return the retry time: for how many seconds a failing call is retried.

    Raises:
        DatasetError: the environment variable is not a number of seconds.
    """
    text = os.environ.get(RETRY_SECONDS_VARIABLE, "")
    try:
        seconds = float(text or RETRY_SECONDS)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise DatasetError(f"{RETRY_SECONDS_VARIABLE}={text!r} is not a number of seconds")
    return seconds


def with_retries(call: Callable[[], Result]) -> Result:
    """Return what a call to an object store returns; retry it while the store fails.

    Raises:
        RetriesExhaustedError: it failed for the whole retry time.
        OSError: at once, if a retry would not help: no such file, no permission.
    """
    backoff = Backoff()
    while True:
        try:
            return call()
        except OSError as error:
            if is_final(error):
                raise
            if not backoff.wait():
                raise RetriesExhaustedError(str(error)) from error


def is_final(error: OSError) -> bool:
    """Return whether a retry would fail in the same way."""
    marks = ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "NO_SUCH_BUCKET", "HTTP status 403")
    return isinstance(error, FileNotFoundError | PermissionError) or any(mark in str(error) for mark in marks)


class Backoff:
    """The waits between tries: each twice as long as the last, until the retry time is over."""

    def __init__(self) -> None:
        self.tries = 1
        """Tries so far, including the current one."""
        self._began = time.monotonic()
        self._retry_seconds = retry_seconds()
        self._delay = _FIRST_DELAY

    @property
    def seconds(self) -> float:
        """Seconds since the first try."""
        return time.monotonic() - self._began

    def wait(self) -> bool:
        """Wait before the next try and return True; return False if the retry time is over."""
        left = self._retry_seconds - self.seconds
        if left <= 0:
            return False
        jitter = 0.75 + random.random() / 2  # noqa: S311  # so that workers do not retry in step
        time.sleep(min(self._delay * jitter, left))
        self._delay = min(2 * self._delay, _LONGEST_DELAY)
        self.tries += 1
        return True

    def restart(self) -> None:
        """Start the retry time again, since the last try made progress."""
        self._began, self._delay = time.monotonic(), _FIRST_DELAY


def with_client_settings(filesystem: Any) -> Any:
    """Return a file system whose client gives up soon and asks for no checksums.

    pyarrow's own retries take half a minute and tell nobody. Its client hashes what it reads, a third of the CPU time
    of long reads, in case the server sends a checksum; S3 sends none with a range, unless that is a whole part of an
    upload. Who sets AWS_RESPONSE_CHECKSUM_VALIDATION has it as set.

    The settings do not survive pickling; call this again afterwards.
    """
    if not isinstance(filesystem, pafs.S3FileSystem):
        return filesystem
    os.environ.setdefault(_CHECKSUMS_VARIABLE, "when_required")
    rebuild, (options, *_) = filesystem.__reduce__()
    return rebuild({**options, "retry_strategy": pafs.AwsStandardS3RetryStrategy(max_attempts=_CLIENT_TRIES)})


def upload(filesystem: Any, path: str, file: IO[bytes]) -> None:
    """Upload a whole local file, with retries; multipart if it is large.

    An object appears when its upload completes. An abandoned upload would complete with what it has when Python
    collects its stream, so the object is deleted then.
    """

    def attempt() -> None:
        file.seek(0)
        stream = filesystem.open_output_stream(path)
        try:
            with stream:
                while chunk := file.read(_CHUNK):
                    stream.write(chunk)
        except BaseException:
            with suppress(OSError):
                filesystem.delete_file(path)
            raise

    with_retries(attempt)


def delete_file(filesystem: Any, path: str) -> None:
    """Delete an object, with retries.

    A server that refuses pyarrow's folder marker, written afterwards, has deleted the object all the same.
    """

    def attempt() -> None:
        try:
            filesystem.delete_file(path)
        except OSError:
            if filesystem.get_file_info(path).type == pafs.FileType.File:
                raise

    with_retries(attempt)


def delete_folder(filesystem: Any, path: str) -> None:
    """Delete all objects below a path, with retries.

    Some servers refuse the folder marker that pyarrow leaves behind; this is not a failure if nothing else is left.
    """

    def remaining() -> list[Any]:
        selector = pafs.FileSelector(path, recursive=True, allow_not_found=True)
        return [info for info in filesystem.get_file_info(selector) if info.type == pafs.FileType.File]

    def attempt() -> None:
        try:
            filesystem.delete_dir(path)
        except OSError:
            if remaining():
                raise

    if with_retries(remaining):
        with_retries(attempt)
