"""Object stores fail now and then: calls that are tried again, and uploads that appear whole or not at all."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, TypeVar

import pyarrow.fs as pafs

Result = TypeVar("Result")

DELAYS = (1, 2, 4, 8, 16)
"""Seconds to wait before each further try."""

_CHUNK = 8 << 20


def persist(call: Callable[[], Result], delays: tuple[float, ...] = DELAYS) -> Result:
    """Return what a call to an object store returns, tried again while the store fails.

    Raises:
        OSError: the last try's, or at once what another try would not change: no such file, no permission.
    """
    for delay in delays:
        try:
            return call()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            if "ACCESS_DENIED" in str(error) or "INVALID_ACCESS_KEY" in str(error) or "NO_SUCH_BUCKET" in str(error):
                raise
            time.sleep(delay)
    return call()


def upload(filesystem: Any, path: str, file: IO[bytes]) -> None:
    """Write a whole local file to an object, again and again while the store fails; multipart where it is large.

    An object store shows an object when its upload completes. One that Python gives up would be completed with what
    it holds when its stream is collected, hence the object is deleted then.
    """

    def attempt() -> None:
        file.seek(0)
        try:
            with filesystem.open_output_stream(path) as stream:
                while chunk := file.read(_CHUNK):
                    stream.write(chunk)
        except BaseException:
            with suppress(OSError):
                filesystem.delete_file(path)
            raise

    persist(attempt)


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

    if persist(left):
        persist(attempt)
