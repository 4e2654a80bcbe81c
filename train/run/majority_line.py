"""What the majority's guess scores on a run's data, as a line beneath the run's curves."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from in21k.shards_manifest.manifest import HIERARCHY
from in21k.shards_manifest.parquet_table import columns_of
from in21k.tree.majority import majority_shares
from in21k.tree.table import READ_SCHEMA, SCHEMA, hierarchy_of

_COLUMNS = pa.schema([*READ_SCHEMA, SCHEMA.field("images_train"), SCHEMA.field("images_val")])


def majority_scores(run: Path) -> Mapping[str, float]:
    """Return the majority's semantic top-1 and top-1 by column of the curves, 0 to 1, from a run's hierarchy.parquet.

    There is none without the table, without val images, or where the table counts none.

    Raises:
        DatasetError: the table is damaged.
        TreeError: its rows contradict each other.
    """
    path = run / HIERARCHY
    if not path.is_file():
        return {}
    columns = columns_of(path.read_bytes(), str(path), _COLUMNS)  # a run may have a name that pyarrow cannot open
    hierarchy = hierarchy_of(columns.select(READ_SCHEMA.names), str(path))
    train, val = (columns[name].to_numpy().astype(np.int64) for name in ("images_train", "images_val"))
    return majority_shares(hierarchy, train, val)
