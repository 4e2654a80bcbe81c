"""Object stores fail now and then: calls that are tried again, and uploads that appear whole or not at all."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, TypeVar

import pyarrow.fs as pafs

from in21k.shards_manifest.errors import TriedOftenError

Result = TypeVar("Result")

DELAYS = (1, 2, 4, 8, 16)
"""Seconds to wait before each further try."""

_CHUNK = 8 << 20


def persist(call: Callable[[], Result]) -> Result:
    """Return what a call to an object store returns, tried again while the store fails.

    Raises:
        TriedOftenError: the last try failed, too.
        OSError: at once, what another try would not change: no such file, no permission.
    """
    for delay in DELAYS:
        try:
            return call()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            if "ACCESS_DENIED" in str(error) or "INVALID_ACCESS_KEY" in str(error) or "NO_SUCH_BUCKET" in str(error):
                raise
            time.sleep(delay)
    try:
        return call()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TriedOftenError(str(error)) from error


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

    persist(attempt)


def delete_file(filesystem: Any, path: str) -> None:
    """Delete an object; a server that refuses pyarrow's folder mark has deleted it none the less."""

    def attempt() -> None:
        try:
            filesystem.delete_file(path)
        except OSError:
            if filesystem.get_file_info(path).type == pafs.FileType.File:
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
