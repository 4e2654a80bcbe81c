"""Object stores fail now and then: calls that are tried again, and uploads that appear whole or not at all."""

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
"""The environment variable that says how long a failing call is tried again; it reaches every worker process."""

RETRY_SECONDS = 60.0
"""Seconds, where the variable is not set."""

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 16.0

_TRIES_OF_CLIENT = 3

_CHUNK = 8 << 20


def retry_seconds() -> float:
    """Return for how many seconds a failing call is tried again.

    Raises:
        DatasetError: the environment variable holds no number of seconds.
    """
    text = os.environ.get(RETRY_SECONDS_VARIABLE, "")
    try:
        seconds = float(text or RETRY_SECONDS)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise DatasetError(f"{RETRY_SECONDS_VARIABLE}={text!r} is no number of seconds")
    return seconds


def retried(call: Callable[[], Result]) -> Result:
    """Return what a call to an object store returns, tried again while the store fails.

    Raises:
        RetriesExhaustedError: it failed for as long as `retry_seconds` says.
        OSError: at once, what another try would not change: no such file, no permission.
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
    """Return whether another try would fail in the same way."""
    marks = ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "NO_SUCH_BUCKET", "HTTP status 403")
    return isinstance(error, FileNotFoundError | PermissionError) or any(mark in str(error) for mark in marks)


class Backoff:
    """The waits between tries: each twice as long as the one before, all within the time of `retry_seconds`."""

    def __init__(self) -> None:
        self.tries = 1
        """Tries so far, the one under way included."""
        self._began = time.monotonic()
        self._retry_seconds = retry_seconds()
        self._delay = _FIRST_DELAY

    @property
    def seconds(self) -> float:
        """Seconds since the first try."""
        return time.monotonic() - self._began

    def wait(self) -> bool:
        """Wait until the next try; return whether there is to be one."""
        left = self._retry_seconds - self.seconds
        if left <= 0:
            return False
        jitter = 0.75 + random.random() / 2  # noqa: S311  # many workers are not to come back in step
        time.sleep(min(self._delay * jitter, left))
        self._delay = min(2 * self._delay, _LONGEST_DELAY)
        self.tries += 1
        return True

    def restart(self) -> None:
        """Begin the time anew: the last try brought something."""
        self._began, self._delay = time.monotonic(), _FIRST_DELAY


def with_few_retries(filesystem: Any) -> Any:
    """Return a file system that gives up soon: pyarrow's own tries take half a minute, are not told and not bounded.

    Pickling forgets it, hence it is to be called again then.
    """
    if not isinstance(filesystem, pafs.S3FileSystem):
        return filesystem
    rebuild, (options, *_) = filesystem.__reduce__()
    return rebuild({**options, "retry_strategy": pafs.AwsStandardS3RetryStrategy(max_attempts=_TRIES_OF_CLIENT)})


def upload(filesystem: Any, path: str, file: IO[bytes]) -> None:
    """Write a whole local file to an object, again and again while the store fails; multipart where it is large.

    An object store shows an object when its upload completes. One that Python gives up would be completed with what
    it holds when its stream is collected, hence the object is deleted then.
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

    retried(attempt)


def delete_file(filesystem: Any, path: str) -> None:
    """Delete an object; a server that refuses pyarrow's folder mark has deleted it none the less."""

    def attempt() -> None:
        try:
            filesystem.delete_file(path)
        except OSError:
            if filesystem.get_file_info(path).type == pafs.FileType.File:
                raise

    retried(attempt)


def delete_folder(filesystem: Any, path: str) -> None:
    """Delete all objects below a path.

    Some servers refuse the folder mark that pyarrow leaves behind; that is no failure as long as nothing is left.
    """

    def left() -> list[Any]:
        selector = pafs.FileSelector(path, recursive=True, allow_not_found=True)
        return [info for info in filesystem.get_file_info(selector) if info.type == pafs.FileType.File]

    def attempt() -> None:
        try:
            filesystem.delete_dir(path)
        except OSError:
            if left():
                raise

    if retried(left):
        retried(attempt)
