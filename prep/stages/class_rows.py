"""The rows of a work folder's `classes.parquet`, checked before they are used."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.records import CLASSES_SCHEMA, Kept
from in21k.prep.stages.record import CLASSES
from in21k.shards_manifest.errors import DamagedTableError
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location


def read_class_rows(work: Location) -> pa.Table:
    """Return the table of a work folder's classes, with CLASSES_SCHEMA.

    Raises:
        DatasetError: it is missing or damaged, or its rows contradict each other.
    """
    table = read_columns(work / CLASSES, CLASSES_SCHEMA)
    if seen := _contradiction(table):
        raise DamagedTableError(f"{(work / CLASSES).text}: {seen}; use another work folder")
    return table


def _contradiction(table: pa.Table) -> str:
    """Return what no table of classes says; empty where it says nothing of the kind."""
    reasons, kept = table["reason"].to_pylist(), np.asarray(table["kept"].to_pylist(), np.bool_)
    if unknown := {*reasons} - {*Kept}:
        return f"{min(unknown)[:60]!a} is no reason"
    if Kept.KEPT.value not in reasons:
        return "no class is kept"
    if [reason in (Kept.KEPT, Kept.ANCESTOR) for reason in reasons] != kept.tolist():
        return "the column kept contradicts the reasons"
    if not np.array_equal(table["class_index"].to_numpy(), np.where(kept, np.cumsum(kept) - 1, -1)):
        return "its class indices do not number the kept classes"
    if len(table["wnid"].unique()) < len(table):
        return "a class has two rows"
    return "a class has less than no images" if pc.min(table["images"]).as_py() < 0 else ""
