"""File systems that pyarrow does not know and fsspec does: the Hugging Face hub (`hf://datasets/OWNER/NAME`)."""

import io
from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from in21k.shards_manifest.errors import DatasetError, one_line

SCHEMES = ("hf", "memory")
"""Schemes of URIs that go to fsspec at once, as pyarrow would pass them on without our handling of errors."""

_FORBIDDEN, _NOT_FOUND = (401, 403), (404, 410)

Result = TypeVar("Result")


def open_fsspec(uri: str) -> tuple[Any, str]:
    """Return a pyarrow.fs.FileSystem over fsspec's for a URI, and the path in it.

    Raises:
        DatasetError: fsspec does not know the scheme, or a library that it needs is missing.
        ModuleNotFoundError: fsspec is missing.
    """
    import fsspec.core

    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise DatasetError(f"{uri}: {one_line(error)}; pip install 'in21k[hub]'") from None
    except ValueError as error:
        raise DatasetError(f"{uri}: {one_line(error)}") from error
    return pafs.PyFileSystem(_Handler(filesystem)), path


class _Handler(pafs.FSSpecHandler):  # type: ignore[misc]
    """Calls of a file system of fsspec, whose libraries raise what they like, with errors as the system has them."""

    def get_file_info(self, paths: list[str]) -> list[Any]:
        try:
            return _as_os_errors(lambda: super(_Handler, self).get_file_info(paths))
        except FileNotFoundError:  # a whole dataset that is not there
            return [pafs.FileInfo(path, pafs.FileType.NotFound) for path in paths]

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        return _as_os_errors(lambda: super(_Handler, self).get_file_info_selector(selector))

    def open_input_file(self, path: str) -> Any:
        return pa.PythonFile(_RangeFile(self.fs, path), mode="r")


class _RangeFile(io.RawIOBase):
    """A file of fsspec that reads what it is asked for, without a cache of its own."""

    def __init__(self, filesystem: Any, path: str) -> None:
        self._file = _as_os_errors(lambda: filesystem.open(path, "rb", cache_type="none"))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(_as_os_errors(lambda: self._file.seek(offset, whence)))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int | None = -1, /) -> bytes:
        return bytes(_as_os_errors(lambda: self._file.read(-1 if size is None else size)))

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _as_os_errors(call: Callable[[], Result]) -> Result:
    """Return what a call returns.

    Raises:
        FileNotFoundError, PermissionError: the server says so; trying again would not help.
        OSError: anything else went wrong, such as a connection.
    """
    try:
        return call()
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        message = one_line(error)
        if status in _NOT_FOUND:
            raise FileNotFoundError(message) from error
        if status in _FORBIDDEN:
            raise PermissionError(f"{message}; give access with HF_TOKEN") from error
        if isinstance(error, OSError):
            raise
        raise OSError(f"{type(error).__name__}: {message}") from error
