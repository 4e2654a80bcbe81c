"""Counts of the sample table, read one row group at a time; memory grows by about 16 bytes per sample."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from in21k.shards_manifest.key_hashes import hash_strings
from in21k.shards_manifest.manifest import SPLITS, Manifest
from in21k.shards_manifest.sample_table import SampleTable, key_prefix
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.verify.repeated_keys import OddSamples, repeated_keys


@dataclass(frozen=True, eq=False)
class SampleSummary:
    """What a sample table says, in numbers and exceptions."""

    images: dict[str, npt.NDArray[np.int64]]
    """By split, int64 [C]: samples of each class."""
    no_classes: list[OddSamples]
    """Samples whose label is not a class index."""
    misnamed: list[OddSamples]
    """Samples whose key does not begin with the wnid of their class."""
    repeated: list[OddSamples]
    """Samples whose key has appeared before in the same split."""
    in_both: list[OddSamples]
    """Val samples whose key is also in train."""


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
    prefixes = pa.array(map(key_prefix, wnids), pa.string()).cast(pa.binary())
    images = {split: np.zeros(classes, np.int64) for split in SPLITS}
    no_classes: list[OddSamples] = []
    misnamed: list[OddSamples] = []
    hashes = []
    for split in SPLITS:
        for number, shard in enumerate(manifest.splits[split]):
            keys, index = table.keys_and_index(split, number)
            labels = index.class_indices
            known = (labels >= 0) & (labels < classes)
            images[split] += np.bincount(labels[known], minlength=classes)
            no_classes += OddSamples.among(shard.path, keys, ~known)
            misnamed += OddSamples.among(shard.path, keys, known & ~_fit(keys, labels, known, prefixes))
            hashes.append(hash_strings(keys.to_numpy(zero_copy_only=False)))
    repeated, in_both = repeated_keys(table, manifest, hashes)
    return SampleSummary(images=images, no_classes=no_classes, misnamed=misnamed, repeated=repeated, in_both=in_both)


def _fit(
    keys: pa.StringArray, labels: npt.NDArray[np.int64], known: npt.NDArray[np.bool_], prefixes: pa.BinaryArray
) -> npt.NDArray[np.bool_]:
    """Return, bool [n], which keys begin with the prefix of their label's class; False where the label is unknown."""
    fit = np.zeros(len(keys), np.bool_)
    if not known.any():
        return fit
    wanted = prefixes.take(pa.array(np.where(known, labels, 0)))
    lengths = pc.binary_length(wanted).to_numpy()
    content = keys.cast(pa.binary())
    for length in np.unique(lengths):  # wnids are equally long, as a rule
        begins = pc.equal(pc.binary_slice(content, 0, int(length)), wanted).to_numpy(zero_copy_only=False)
        fit |= begins & (lengths == length)
    return fit & known
