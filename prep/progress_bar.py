"""Progress bars, shown only if standard error is a terminal."""

from typing import Any

from tqdm import tqdm


def progress_bar(description: str, unit: str, total: int, done: int = 0) -> Any:
    """Return a tqdm bar over `total` units, `done` of them finished already; bytes (`B`) are in binary multiples."""
    binary = unit == "B"
    return tqdm(
        desc=description,
        unit=unit,
        total=total,
        initial=done,
        disable=None,
        unit_scale=binary,
        unit_divisor=1024 if binary else 1000,
    )
