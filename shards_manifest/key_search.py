"""Where the sample with a key is, found by the order of the shards: the keys of a shard or two are read, not all.

A split is in the order of a hash that follows from the dataset's seed and the key alone, so that a key says about where
it must be.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from in21k.shards_manifest.json_file import is_count
from in21k.shards_manifest.key_hashes import SHUFFLE, keyed_hash
from in21k.shards_manifest.manifest import SPLITS, Manifest
from in21k.shards_manifest.sample_table import PLAIN_KEY, SampleTable

_HASHES = 1 << 64

_TELLING = 32
"""From so many samples on, a shard is not in this order by chance."""


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A sample's place in the sample table."""

    split: str
    shard: int
    row: int
    """Its position in the shard."""


def find_sample(table: SampleTable, manifest: Manifest, key: str) -> SampleRow | None:
    """Return where the sample with a key is, None if there is none.

    In a dataset whose shards are in another order than ours, all keys are read, a shard at a time.

    Raises:
        DatasetError: the table is damaged.
    """
    seed: Any = manifest.parameters.get("split", {}).get("seed")
    is_certain = is_count(seed) and bool(re.fullmatch(PLAIN_KEY, key))
    for split in SPLITS if is_certain else ():
        row, is_ordered = _search(table, manifest, split, key, seed)
        if row is not None:
            return row
        is_certain = is_certain and is_ordered
    return None if is_certain else _scan(table, manifest, key)


def _search(table: SampleTable, manifest: Manifest, split: str, key: str, seed: int) -> tuple[SampleRow | None, bool]:
    """Return where a key is in a split by the shards' order; and, if it is not there, whether they are in order."""
    shards = manifest.splits[split]
    wanted, width = keyed_hash(seed, SHUFFLE, key), _HASHES // max(len(shards), 1)
    ends = np.cumsum([shard.samples for shard in shards])
    low, high, is_ordered = 0, len(shards) - 1, not shards
    at = int(np.searchsorted(ends, wanted * manifest.samples(split) // _HASHES, side="right"))
    while low <= high:
        at = min(max(at, low), high)
        keys = table.key_column(split, at)
        if (row := _row_of(keys, key)) >= 0:
            return SampleRow(split, at, row), True
        hashes = [keyed_hash(seed, SHUFFLE, each) for each in keys.to_pylist()]
        is_ordered = len(hashes) >= _TELLING and hashes == sorted(hashes)
        if wanted < hashes[0]:
            high, at = at - 1, at - 1 - (hashes[0] - wanted) // width
        elif wanted > hashes[-1]:
            low, at = at + 1, at + 1 + (wanted - hashes[-1]) // width
        else:
            break
    return None, is_ordered


def _scan(table: SampleTable, manifest: Manifest, key: str) -> SampleRow | None:
    for split in SPLITS:
        for shard in range(len(manifest.splits[split])):
            if (row := _row_of(table.key_column(split, shard), key)) >= 0:
                return SampleRow(split, shard, row)
    return None


def _row_of(keys: pa.StringArray, key: str) -> int:
    """Return the position of a key, -1 if it is not there."""
    if any("\ud800" <= letter <= "\udfff" for letter in key):  # what no table can hold
        return -1
    return int(pc.index(keys, pa.scalar(key, pa.string())).as_py())
