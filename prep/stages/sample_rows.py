"""The sample table of a dataset: the rows of its shards, with the fingerprints that the parts' tables hold."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from in21k.prep.stages.merge import MergeOrder
from in21k.prep.stages.parts import part_has_fingerprints, read_part_fingerprints
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.sample_table import FINGERPRINTS, SCHEMA
from in21k.shards_manifest.storage.location import Location

_AT_A_TIME = 1 << 20
"""Samples whose fingerprints are in memory; the table of every part is read once for so many."""


def write_sample_rows(
    location: Location, parts: Location | None, shards: Sequence[tuple[Location, MergeOrder]]
) -> None:
    """Write a sample table, a row group per shard.

    Where no part has fingerprints, because an older version wrote all of them, the table has no columns for them, as
    that version wrote it.

    Args:
        location: the table to write.
        parts: the folder of the parts; None to leave their fingerprints out.
        shards: for each shard the table of its rows, and its samples.

    Raises:
        DamagedPartError: the table of a part is damaged.
        DatasetError: the rows of a shard are missing or damaged.
    """
    numbers = np.unique(np.concatenate([np.zeros(0, np.int32), *(order.parts for _, order in shards)])).tolist()
    if parts is not None and not any(part_has_fingerprints(parts, number) for number in numbers):
        parts = None
    schema = pa.schema([*SCHEMA, *FINGERPRINTS]) if parts is not None else SCHEMA
    with location.write() as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for some in _batches(shards):
            found = _fingerprints(parts, [order for _, order in some]) if parts is not None else None
            start = 0
            for rows, order in some:
                table = read_columns(rows, SCHEMA)
                if found is not None:
                    of_shard = found.slice(start, len(order))
                    table = pa.Table.from_arrays([*table.columns, *of_shard.columns], schema=schema)
                writer.write_table(table)
                start += len(order)


def _batches(shards: Iterable[tuple[Location, MergeOrder]]) -> Iterator[list[tuple[Location, MergeOrder]]]:
    """Yield the shards in batches, of no more samples than are handled at a time if a shard has not more by itself."""
    batch: list[tuple[Location, MergeOrder]] = []
    for shard in shards:
        if batch and sum(len(order) for _, order in [*batch, shard]) > _AT_A_TIME:
            yield batch
            batch = []
        batch.append(shard)
    if batch:
        yield batch


def _fingerprints(parts: Location, orders: Sequence[MergeOrder]) -> pa.Table:
    """Return the fingerprints of samples in their order, with the columns of FINGERPRINTS."""
    numbers = np.concatenate([order.parts for order in orders])
    rows = np.concatenate([order.rows for order in orders])
    by_part = np.argsort(numbers, kind="stable")
    first = np.flatnonzero(np.diff(numbers[by_part], prepend=-1))
    pieces = [
        read_part_fingerprints(parts, int(numbers[of_part[0]])).take(pa.array(rows[of_part]))
        for of_part in np.split(by_part, first[1:])
    ]
    back = np.empty(len(by_part), np.int64)
    back[by_part] = np.arange(len(by_part))
    return pa.concat_tables(pieces).take(pa.array(back)).combine_chunks()
