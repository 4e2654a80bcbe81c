"""Where the sample with a key is: the hashes of all keys, sorted once, so that a look-up reads one row group."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from in21k.shards_manifest.key_hashes import hash_strings
from in21k.shards_manifest.manifest import SPLITS, Manifest
from in21k.shards_manifest.sample_table import SampleTable


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample is stored."""

    shard: str
    """The shard's path, relative to the dataset."""
    offset: int
    """Where its first header begins in the shard, in bytes."""
    size: int
    """Its length in bytes, headers and padding included."""


class KeyIndex:
    """The places of a dataset's samples by their keys; of each sample it holds 16 bytes."""

    def __init__(self, table: SampleTable, manifest: Manifest) -> None:
        """Read and hash all keys, which takes a second per two million.

        Raises:
            DatasetError: the table is damaged.
        """
        self._table = table
        self._shards = [
            (split, number, record.path) for split in SPLITS for number, record in enumerate(manifest.splits[split])
        ]
        hashes = [hash_strings(table.keys(split, number)) for split, number, _ in self._shards]
        self._starts = np.cumsum([0, *map(len, hashes)])
        joined = np.concatenate([np.empty(0, np.uint64), *hashes])
        self._order = np.argsort(joined, kind="stable")
        self._hashes = joined[self._order]

    def find(self, key: str) -> Place | None:
        """Return where the sample with a key is, None if there is none.

        Raises:
            DatasetError: the table is damaged.
        """
        return next(self._places(key), None)

    def _places(self, key: str) -> Iterator[Place]:
        [wanted] = hash_strings([key])
        first, end = (int(np.searchsorted(self._hashes, wanted, side=side)) for side in ("left", "right"))
        for number in self._order[first:end].tolist():
            at = int(np.searchsorted(self._starts, number, side="right")) - 1
            split, shard, path = self._shards[at]
            keys, index = self._table.keys_and_index(split, shard)
            row = number - int(self._starts[at])
            if keys[row].as_py() == key:
                yield Place(path, int(index.offsets[row]), int(index.sizes[row]))
