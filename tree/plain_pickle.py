"""Reading `torch.save` files of plain containers without torch, and without running anything that is in them.

A pickle names functions that its reader calls. Ours calls only the few below, which build containers; every other name
is refused before it is imported. NumPy arrays are rebuilt from their bytes by our own code, never by NumPy's.
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
"""Longest pickle that is read; the authors' tree has 2 MB."""

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_PLAIN_DTYPE = re.compile(r"[<>|=]?([iufUS]\d{1,6}|b1|O8?)")
_MALFORMED = (EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError, OverflowError)


def load_plain(path: Path) -> Any:
    """Return what `torch.save` wrote to a file, of containers, text, numbers and NumPy arrays (as lists) alone.

    Raises:
        TreeError: it is no such file, it is damaged, or it holds anything else.
        OSError: it cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            return _Plain(io.BytesIO(_pickle_of_zip(path))).load()
        if path.stat().st_size > MAX_BYTES:
            raise TreeError(f"{path} is larger than {MAX_BYTES >> 20} MB: no class tree")
        return _load_legacy(io.BytesIO(path.read_bytes()))
    except _RefusedError as error:
        raise TreeError(f"{path} holds {error}; only containers, text, numbers and NumPy arrays are read") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, MemoryError, RecursionError, *_MALFORMED) as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise TreeError(f"{path} is no file of torch.save, or damaged ({detail})") from None


def load_arrays(content: bytes, name: str) -> Any:
    """Return what a pickle holds, of containers, text, numbers and NumPy arrays of numbers alone.

    Arrays are NumPy's, if they are values of a dict that is the whole; text of Python 2 is read as Latin-1.

    Args:
        content: the pickle.
        name: what to call it in errors.

    Raises:
        TreeError: it is no pickle, it is damaged, or it holds anything else.
    """
    try:
        loaded = _PlainArrays(io.BytesIO(content), encoding="latin-1").load()
    except _RefusedError as error:
        raise TreeError(f"{name} holds {error}; only containers, text, numbers and NumPy arrays are read") from None
    except (pickle.UnpicklingError, MemoryError, RecursionError, *_MALFORMED) as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise TreeError(f"{name} is no pickle, or damaged ({detail})") from None
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
    """Return the object of a file from before torch 1.6, which follows a magic number, a version and a description."""
    first = _Plain(stream).load()
    if first != _LEGACY_MAGIC:
        return first  # a bare pickle
    _Plain(stream).load()
    _Plain(stream).load()
    return _Plain(stream).load()


class _RefusedError(Exception):
    """A pickle asks for something that is no plain container."""


class _Dtype:
    """What stands for a NumPy dtype."""

    def __init__(self, name: str, *_: Any) -> None:
        if not isinstance(name, str) or not _PLAIN_DTYPE.fullmatch(name):
            raise _RefusedError(f"NumPy values of type {str(name)[:40]!r}")
        self.name = name

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order in ("<", ">") and self.name[0] not in "<>|=":
            self.name = order + self.name

    def read(self, data: Any, count: int) -> list[Any]:
        """Return the values that lie in `data`."""
        if "O" in self.name:
            return list(data)
        values: list[Any] = np.frombuffer(_bytes(data), np.dtype(self.name), count).tolist()
        return values


class _Array(list[Any]):
    """What stands for a NumPy array: its values as a list, nested where it has two axes."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or len(shape) > 2 or (fortran and len(shape) > 1):
            raise _RefusedError(f"a NumPy array of {len(shape)} axes")
        values = dtype.read(data, int(np.prod(shape, dtype=np.int64)))
        width = shape[1] if len(shape) == 2 else 0
        self[:] = [values[at : at + width] for at in range(0, len(values), width)] if width else values


class _Values:
    """What stands for a NumPy array of numbers that is to be kept as one."""

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
    """Pickles of protocol 2 hold bytes as Latin-1 text and this call."""
    if encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"text in {encoding!r}")
    return text.encode("latin-1")


def _scalar(dtype: _Dtype, data: Any) -> Any:
    return dtype.read(data, 1)[0]


def _reconstruct(*_: Any) -> _Array:
    return _Array()


class _Call:
    """A function that a pickle may call; its own type, so that a pickle can set no attribute on what it stands for."""

    __slots__ = ("_function",)

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class _Plain(pickle.Unpickler):
    """An unpickler that knows a few names by heart and imports none."""

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
        """Return what stands for a name, or refuse it."""
        module = "builtins" if module == "__builtin__" else module
        try:
            return _Call(self._CALLS[module, name])
        except KeyError:
            raise _RefusedError(f"{module}.{name}"[:100]) from None

    def persistent_load(self, _: Any) -> NoReturn:
        """Refuse what lies outside the pickle, such as a tensor's values."""
        raise _RefusedError("a tensor")


class _PlainArrays(_Plain):
    """The same, with arrays kept as such."""

    _CALLS: ClassVar[dict[tuple[str, str], Any]] = {
        name: (lambda *_: _Values()) if name[1] == "_reconstruct" else call for name, call in _Plain._CALLS.items()
    }
