"""Readers for pickles and `torch.save` files of plain containers, without torch and without running code from the file.

A pickle names functions for its reader to call. This reader calls only the few below, which build containers, and
rejects every other name before importing it. NumPy arrays are rebuilt from their bytes by our own code, never by
NumPy's.
"""

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np

from in21k.tree.errors import TreeError

MAX_BYTES = 1 << 28
"""The size of the largest pickle that is read; the authors' tree takes 2 MB."""

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_PLAIN_DTYPE = re.compile(r"[<>|=]?([iufUS]\d{1,6}|b1|O8?)")
_MALFORMED = (EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError, OverflowError)


def load_plain(path: Path) -> Any:
    """Return the object in a `torch.save` file of containers, text, numbers and NumPy arrays, which become lists.

    Raises:
        TreeError: the file was not written by `torch.save`, is damaged, or holds anything else.
        OSError: the file cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            return _Plain(io.BytesIO(_pickle_of_zip(path))).load()
        if path.stat().st_size > MAX_BYTES:
            raise TreeError(f"{path} is larger than {MAX_BYTES >> 20} MB, too large for a class tree")
        return _load_legacy(io.BytesIO(path.read_bytes()))
    except _RefusedError as error:
        raise TreeError(
            f"{path} contains {error}; only containers, text, numbers and NumPy arrays can be read"
        ) from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, MemoryError, RecursionError, *_MALFORMED) as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise TreeError(f"{path} was not written by torch.save, or is damaged ({detail})") from None


def load_arrays(content: bytes, name: str) -> Any:
    """Return the object in a pickle of containers, text, numbers and NumPy arrays of numbers.

    Arrays are returned as NumPy arrays if they are values of the outermost dict; Python 2 strings are read as Latin-1.

    Args:
        content: the pickle.
        name: how to refer to it in errors.

    Raises:
        TreeError: the content is not a pickle, is damaged, or holds anything else.
    """
    try:
        loaded = _PlainArrays(io.BytesIO(content), encoding="latin-1").load()
    except _RefusedError as error:
        raise TreeError(
            f"{name} contains {error}; only containers, text, numbers and NumPy arrays can be read"
        ) from None
    except (pickle.UnpicklingError, MemoryError, RecursionError, *_MALFORMED) as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise TreeError(f"{name} is not a pickle, or is damaged ({detail})") from None
    if isinstance(loaded, dict):
        return {key: value.values if isinstance(value, _Values) else value for key, value in loaded.items()}
    return loaded


def _pickle_of_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.rpartition("/")[2] == "data.pkl"]
        if len(members) != 1:
            raise ValueError(f"{len(members)} members named data.pkl")
        if members[0].file_size > MAX_BYTES:
            raise ValueError(f"a pickle of {members[0].file_size} bytes")
        with archive.open(members[0]) as file:
            return file.read(MAX_BYTES)


def _load_legacy(stream: io.BytesIO) -> Any:
    """Return the object in a file from before torch 1.6, which follows a magic number, a version and a description."""
    first = _Plain(stream).load()
    if first != _LEGACY_MAGIC:
        return first  # a bare pickle
    _Plain(stream).load()
    _Plain(stream).load()
    return _Plain(stream).load()


class _RefusedError(Exception):
    """A pickle asks for something other than a plain container."""


class _Dtype:
    """A stand-in for a NumPy dtype."""

    def __init__(self, name: str, *_: Any) -> None:
        if not isinstance(name, str) or not _PLAIN_DTYPE.fullmatch(name):
            raise _RefusedError(f"NumPy values of type {str(name)[:40]!r}")
        self.name = name

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order in ("<", ">") and self.name[0] not in "<>|=":
            self.name = order + self.name

    def read(self, data: Any, count: int) -> list[Any]:
        """Return the values stored in `data`."""
        if "O" in self.name:
            return list(data)
        values: list[Any] = np.frombuffer(_bytes(data), np.dtype(self.name), count).tolist()
        return values


class _Array(list[Any]):
    """A stand-in for a NumPy array: its values as a list, nested if it has two axes."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or len(shape) > 2 or (fortran and len(shape) > 1):
            raise _RefusedError(f"a NumPy array of {len(shape)} axes")
        values = dtype.read(data, int(np.prod(shape, dtype=np.int64)))
        width = shape[1] if len(shape) == 2 else 0
        self[:] = [values[at : at + width] for at in range(0, len(values), width)] if width else values


class _Values:
    """A stand-in for a NumPy array of numbers that is returned as an array."""

    values: Any

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or "O" in dtype.name or len(shape) > 2:
            raise _RefusedError(f"a NumPy array of {len(shape)} axes")
        flat = np.frombuffer(_bytes(data), np.dtype(dtype.name))
        self.values = flat.reshape(shape, order="F" if fortran else "C")


def _bytes(data: Any) -> bytes:
    return data.encode("latin-1") if isinstance(data, str) else bytes(data)


def _encode(text: str, encoding: str) -> bytes:
    """Return the bytes that a pickle of protocol 2 stores as Latin-1 text."""
    if encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"text in {encoding!r}")
    return text.encode("latin-1")


def _scalar(dtype: _Dtype, data: Any) -> Any:
    return dtype.read(data, 1)[0]


def _reconstruct(*_: Any) -> _Array:
    return _Array()


class _Call:
    """A function that a pickle may call, wrapped so that the pickle cannot set attributes on the function itself."""

    __slots__ = ("_function",)

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class _Plain(pickle.Unpickler):
    """An unpickler that maps a few names to stand-ins and imports nothing."""

    _CALLS: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): lambda *items: OrderedDict(*items),
        ("collections", "defaultdict"): lambda *_: {},
        ("builtins", "list"): lambda *items: list(*items),
        ("builtins", "set"): lambda *items: set(*items),
        ("builtins", "frozenset"): lambda *items: frozenset(*items),
        ("builtins", "int"): lambda *_: 0,
        ("_codecs", "encode"): _encode,
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): lambda *_: _Array(),
        **{
            (f"numpy.{core}.multiarray", name): function
            for core in ("core", "_core")
            for name, function in (("_reconstruct", _reconstruct), ("scalar", _scalar))
        },
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name, or raise _RefusedError."""
        module = "builtins" if module == "__builtin__" else module
        try:
            return _Call(self._CALLS[module, name])
        except KeyError:
            raise _RefusedError(f"{module}.{name}"[:100]) from None

    def persistent_load(self, _: Any) -> NoReturn:
        """Raise _RefusedError: data outside the pickle, such as a tensor's values, are not read."""
        raise _RefusedError("a tensor")


class _PlainArrays(_Plain):
    """An unpickler that returns NumPy arrays as arrays."""

    _CALLS: ClassVar[dict[tuple[str, str], Any]] = {
        name: (lambda *_: _Values()) if name[1] == "_reconstruct" else call for name, call in _Plain._CALLS.items()
    }
