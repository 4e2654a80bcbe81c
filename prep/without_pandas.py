"""Keeps pandas out of processes that only need pyarrow."""

import sys
from importlib.abc import MetaPathFinder

import pyarrow as pa


def leave_pandas_out() -> None:
    """Keep pyarrow from importing pandas, which takes half a second per process.

    pyarrow wants to know whether the source of an array is a Series, and looks for pandas once: make it look while
    there is none to be found. Conversions to a DataFrame still work later.
    """
    if "pandas" in sys.modules:
        return
    nothing = _NoPandas()
    sys.meta_path.insert(0, nothing)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(nothing)


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(f"{fullname} is left out", name=fullname)
