"""Counts of the sample table, read one row group at a time; memory grows by about 16 bytes per sample."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from in21k.shards_manifest.key_hashes import hash_strings
from in21k.shards_manifest.manifest import SPLITS, Manifest
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import Location


@dataclass(frozen=True, eq=False)
class SampleSummary:
    """What a sample table says, in numbers and exceptions."""

    images: dict[str, npt.NDArray[np.int64]]
    """By split, int64 [C]: samples of each class."""
    no_classes: list[tuple[str, str]]
    """(shard, key) of samples whose label is not a class index."""
    misnamed: list[tuple[str, str]]
    """(shard, key) of samples whose key does not begin with the wnid of their class."""
    repeated: list[tuple[str, str]]
    """(shard, key) of samples whose key has appeared before in the same split."""
    in_both: list[tuple[str, str]]
    """(shard, key) of val samples whose key is also in train."""


def summarize(location: Location, manifest: Manifest, wnids: list[str]) -> SampleSummary:
    """Return the summary of a dataset's sample table.

    Args:
        location: the dataset.
        manifest: its manifest.
        wnids: its classes, in order of class index.

    Raises:
        DatasetError: the table cannot be read, or contradicts the manifest.
    """
    table = SampleTable(location, manifest)
    classes = len(wnids)
    images = {split: np.zeros(classes, np.int64) for split in SPLITS}
    no_classes: list[tuple[str, str]] = []
    misnamed: list[tuple[str, str]] = []
    hashes = []
    prefixes = np.array([f"{wnid}_" for wnid in wnids], object)
    for split in SPLITS:
        for number, shard in enumerate(manifest.splits[split]):
            keys = table.keys(split, number)
            labels = table.index(split, number).class_indices
            known = (labels >= 0) & (labels < classes)
            images[split] += np.bincount(labels[known], minlength=classes)
            no_classes += [(shard.path, keys[at]) for at in np.flatnonzero(~known)]
            begins = prefixes[np.where(known, labels, 0)]
            misnamed += [
                (shard.path, key)
                for key, prefix, fits in zip(keys, begins, known, strict=True)
                if fits and not key.startswith(prefix)
            ]
            hashes.append(hash_strings(keys))
    repeated, in_both = _repeated(table, manifest, hashes)
    return SampleSummary(images=images, no_classes=no_classes, misnamed=misnamed, repeated=repeated, in_both=in_both)


def _repeated(
    table: SampleTable, manifest: Manifest, hashes: list[npt.NDArray[np.uint64]]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the samples whose key has appeared before in the same split, and those of val whose key is in train.

    Only keys with equal 64-bit hashes are compared.
    """
    hashed = np.concatenate([np.empty(0, np.uint64), *hashes])
    values, counts = np.unique(hashed, return_counts=True)
    suspects = np.flatnonzero(np.isin(hashed, values[counts > 1]))
    starts = np.cumsum([0, *map(len, hashes)])
    shards = [(split, number) for split in SPLITS for number in range(len(manifest.splits[split]))]

    @lru_cache(1)
    def keys(group: int) -> list[str]:
        return table.keys(*shards[group])

    first: dict[str, str] = {}
    repeated: list[tuple[str, str]] = []
    in_both: list[tuple[str, str]] = []
    for position in suspects.tolist():
        group = int(np.searchsorted(starts, position, side="right")) - 1
        split, number = shards[group]
        key = keys(group)[position - int(starts[group])]
        before = first.setdefault(key, f"{split}/{position}")
        if before != f"{split}/{position}":
            place = manifest.splits[split][number].path, key
            (repeated if before.startswith(f"{split}/") else in_both).append(place)
    return repeated, in_both
