"""Keys that appear more than once among millions of samples: found by 64-bit hashes, confirmed by comparison."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.shards_manifest.manifest import SPLITS, Manifest
from in21k.shards_manifest.sample_table import SampleTable

_ROUND = 2 << 20
"""Samples whose keys are compared at a time."""


@dataclass(frozen=True)
class OddSamples:
    """Samples of a shard that a check objects to."""

    shard: str
    """The shard's path."""
    key: str
    """Of the first."""
    count: int

    @classmethod
    def among(cls, shard: str, keys: pa.StringArray, odd: npt.NDArray[np.bool_]) -> "list[OddSamples]":
        """Return the samples of a shard that are marked in bool [n] as a list of one, which is empty if none is."""
        count = int(np.count_nonzero(odd))
        return [cls(shard, keys[int(odd.argmax())].as_py(), count)] if count else []


def repeated_keys(
    table: SampleTable, manifest: Manifest, hashes: Sequence[npt.NDArray[np.uint64]]
) -> tuple[list[OddSamples], list[OddSamples]]:
    """Return the samples whose key has appeared before in the same split, and those of val whose key is in train.

    Args:
        table: the sample table.
        manifest: of its dataset.
        hashes: of the keys, by shard, train before val.

    Raises:
        DatasetError: the table cannot be read.
    """
    repeated: list[OddSamples] = []
    in_both: list[OddSamples] = []
    for values in _rounds(np.concatenate([np.empty(0, np.uint64), *hashes])):
        suspects = [_places_of(values, of_shard) for of_shard in hashes]
        for found, more in zip((repeated, in_both), _confirmed(table, manifest, suspects), strict=True):
            found += more
    return repeated, in_both


def _rounds(values: npt.NDArray[np.uint64]) -> Iterator[npt.NDArray[np.uint64]]:
    """Yield the values that appear more than once, sorted, by ranges that about _ROUND samples have; sorts the array.

    So memory is bounded even where every key appears twice.
    """
    values.sort()
    twice, more = np.unique(values[1:][values[1:] == values[:-1]], return_counts=True)
    numbers = np.cumsum(more + 1) // _ROUND
    for number in np.unique(numbers):
        yield twice[numbers == number]


def _places_of(wanted: npt.NDArray[np.uint64], values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return where an array has any of the wanted values, which are sorted."""
    near = np.flatnonzero((values >= wanted[0]) & (values <= wanted[-1]))
    places: npt.NDArray[np.int64] = near[wanted[np.searchsorted(wanted, values[near])] == values[near]]
    return places


def _confirmed(
    table: SampleTable, manifest: Manifest, suspects: Sequence[npt.NDArray[np.int64]]
) -> tuple[list[OddSamples], list[OddSamples]]:
    """Return which samples at some places of each shard repeat a key of their split, and which one of train."""
    paths = [shard.path for split in SPLITS for shard in manifest.splits[split]]
    places = [(split, number) for split in SPLITS for number in range(len(manifest.splits[split]))]
    keys = pa.chunked_array(
        [table.key_column(*place).take(pa.array(at)) for place, at in zip(places, suspects, strict=True) if len(at)],
        pa.string(),
    )
    shard = np.repeat(np.arange(len(paths), dtype=np.int32), [len(at) for at in suspects])
    first = _first_places(keys)
    is_later = first != np.arange(len(first))
    trains = len(manifest.splits["train"])
    is_in_both = is_later & (shard >= trains) & (shard[first] < trains)
    return _by_shard(paths, shard, keys, is_later & ~is_in_both), _by_shard(paths, shard, keys, is_in_both)


def _first_places(keys: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return, int64 [n], where each key appears first."""
    encoded = keys.cast(pa.large_string()).combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()  # numbered in the order of their first appearance
    seen = np.maximum.accumulate(codes)
    is_first = np.append(True, seen[1:] > seen[:-1])
    first: npt.NDArray[np.int64] = np.flatnonzero(is_first)[codes]
    return first


def _by_shard(
    paths: Sequence[str], shard: npt.NDArray[np.int32], keys: pa.ChunkedArray, odd: npt.NDArray[np.bool_]
) -> list[OddSamples]:
    """Return the marked samples, by shard."""
    at = np.flatnonzero(odd)
    shards, first, counts = np.unique(shard[at], return_index=True, return_counts=True)
    return [
        OddSamples(paths[number], keys[int(at[begin])].as_py(), count)
        for number, begin, count in zip(shards.tolist(), first.tolist(), counts.tolist(), strict=True)
    ]
