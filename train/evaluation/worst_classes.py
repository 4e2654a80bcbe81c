"""The classes that a model does worst on, for the end of an evaluation."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

SCORES = ("top1", "average_precision")
"""The score that decides: the first where images have one class each."""

_SINGLE = ("wnid", "name", "images", "top1", "confused_with_name", "confused_share")
_SETS = ("wnid", "name", "images", "average_precision", "recall")


def worst_classes(table: pa.Table, count: int) -> list[dict[str, Any]]:
    """Return the classes with the lowest score, at most this many; of equal ones those with more images come first.

    Args:
        table: of all classes, as `per_class.parquet` has it; those without images are left out.
        count: of classes.
    """
    score = next(name for name in SCORES if name in table.column_names)
    there = table.filter(pc.and_(pc.greater(table["images"], 0), pc.is_valid(table[score])))
    order = [(score, "ascending"), ("images", "descending"), ("class_index", "ascending")]
    rows: list[dict[str, Any]] = there.sort_by(order).slice(0, count).to_pylist()
    shown = _SINGLE if score == SCORES[0] else _SETS
    return [{name: row[name] for name in shown} for row in rows]
