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

    Memory is bounded beyond the hashes, however often keys appear.

    Args:
        table: the sample table.
        manifest: of its dataset.
        hashes: of the keys, by shard, train before val.

    Raises:
        DatasetError: the table cannot be read.
    """
    repeated: list[OddSamples] = []
    in_both: list[OddSamples] = []
    for values in _rounds(hashes):
        seen = _Seen(pa.array([], pa.large_string()), np.empty(0, np.int32))
        for suspects in _batches(table, manifest, hashes, values):
            is_later, first = seen.add(suspects)
            trains = len(manifest.splits["train"])
            is_in_both = is_later & (suspects.shards >= trains) & (first < trains)
            repeated += suspects.by_shard(is_later & ~is_in_both)
            in_both += suspects.by_shard(is_in_both)
    return repeated, in_both


def _rounds(hashes: Sequence[npt.NDArray[np.uint64]]) -> Iterator[npt.NDArray[np.uint64]]:
    """Yield the hashes that appear more than once, sorted, by ranges that about _ROUND samples have.

    So memory is bounded even where every key appears twice.
    """
    twice, numbers = _repeated(np.concatenate([np.empty(0, np.uint64), *hashes]))
    for number in np.unique(numbers):
        yield twice[numbers == number]


def _repeated(values: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Return the values that appear more than once, sorted, and the number of each one's range; sorts the array."""
    values.sort()
    twice, more = np.unique(values[1:][values[1:] == values[:-1]], return_counts=True)
    return twice, (np.cumsum(more + 1) // _ROUND).astype(np.int32)


def _places_of(wanted: npt.NDArray[np.uint64], values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return where an array has any of the wanted values, which are sorted."""
    near = np.flatnonzero((values >= wanted[0]) & (values <= wanted[-1]))
    places: npt.NDArray[np.int64] = near[wanted[np.searchsorted(wanted, values[near])] == values[near]]
    return places


@dataclass(frozen=True, eq=False)
class _Suspects:
    """Samples of some shards, whose keys may appear elsewhere, too."""

    paths: Sequence[str]
    """Those of all shards."""
    shards: npt.NDArray[np.int32]
    """int32 [n]: the number of each sample's shard, in order."""
    keys: pa.LargeStringArray
    """[n]."""

    def by_shard(self, odd: npt.NDArray[np.bool_]) -> list[OddSamples]:
        """Return the marked samples, by shard."""
        at = np.flatnonzero(odd)
        shards, first, counts = np.unique(self.shards[at], return_index=True, return_counts=True)
        return [
            OddSamples(self.paths[number], self.keys[int(at[begin])].as_py(), count)
            for number, begin, count in zip(shards.tolist(), first.tolist(), counts.tolist(), strict=True)
        ]


@dataclass(eq=False)
class _Seen:
    """The keys of a round so far, each once, and the number of the shard where it appeared first."""

    keys: pa.LargeStringArray
    shards: npt.NDArray[np.int32]

    def add(self, suspects: _Suspects) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
        """Add samples; return which ones have a key that is not new, and the shard where each key appeared first."""
        before = len(self.keys)
        keys = pa.concat_arrays([self.keys, suspects.keys])
        shards = np.concatenate([self.shards, suspects.shards])
        first = _first_places(keys)
        is_new = first == np.arange(len(first))
        self.keys, self.shards = keys.filter(pa.array(is_new)), shards[is_new]
        return ~is_new[before:], shards[first[before:]]


def _batches(
    table: SampleTable, manifest: Manifest, hashes: Sequence[npt.NDArray[np.uint64]], values: npt.NDArray[np.uint64]
) -> Iterator[_Suspects]:
    """Yield the samples whose key has one of the hashes, about _ROUND at a time: one hash may have all samples."""
    paths = [shard.path for split in SPLITS for shard in manifest.splits[split]]
    places = [(split, number) for split in SPLITS for number in range(len(manifest.splits[split]))]
    keys: list[pa.LargeStringArray] = []
    shards: list[npt.NDArray[np.int32]] = []
    for at, (place, of_shard) in enumerate(zip(places, hashes, strict=True)):
        found = _places_of(values, of_shard)
        if len(found):
            keys.append(table.key_column(*place).take(pa.array(found)).cast(pa.large_string()))
            shards.append(np.full(len(found), at, np.int32))
        if keys and (at == len(places) - 1 or sum(map(len, keys)) >= _ROUND):
            yield _Suspects(paths, np.concatenate(shards), pa.concat_arrays(keys))
            keys, shards = [], []


def _first_places(keys: pa.LargeStringArray) -> npt.NDArray[np.int64]:
    """Return, int64 [n], where each key appears first."""
    codes = keys.dictionary_encode().indices.to_numpy()  # numbered in the order of their first appearance
    seen = np.maximum.accumulate(codes)
    is_first = np.append(True, seen[1:] > seen[:-1])
    first: npt.NDArray[np.int64] = np.flatnonzero(is_first)[codes]
    return first
