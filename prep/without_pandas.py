"""Keeping pandas out of processes that only need pyarrow."""

import sys
from importlib.abc import MetaPathFinder

import pyarrow as pa


def leave_pandas_out() -> None:
    """Keep pyarrow from importing pandas, which it does to ask of every array's source whether it is a Series.

    That is half a second of each process. pyarrow looks once: it is let look while there is nothing to find. Whoever
    wants a DataFrame of it later still gets one.
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
