"""Images whose very file is in a dataset more than once, by the digests in its sample table."""

import numpy as np
import numpy.typing as npt

from in21k.shards_manifest.manifest import SPLITS, Manifest
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import Location
from in21k.tree.explorer_data import Better, Measure, MeasureKind


def repeated_files(dataset: Location, manifest: Manifest) -> Measure | None:
    """Return how many images of each class have a file that the dataset holds again, under any key and class.

    Eight bytes an image are held in memory, twice. Copies that were scaled or encoded anew are found by
    `in21k-prep duplicates` alone.

    Returns:
        None if no file is repeated, or if the table has no digests.

    Raises:
        DatasetError: the sample table is missing or damaged.
    """
    table = SampleTable(dataset, manifest)
    digests, classes = [], []
    for split in SPLITS:
        for shard in range(len(manifest.splits[split])):
            column = table.file_digests(split, shard)
            if column is None:
                return None
            known = column.is_valid().to_numpy()
            digests.append(column.drop_null().to_numpy())
            classes.append(table.labeled_index(split, shard).class_indices[known].astype(np.int32))
    again = _repeated(np.concatenate(digests)) if digests else np.empty(0, np.uint64)
    if not len(again):
        return None
    counts = np.zeros(manifest.classes, np.float64)
    for few, labels in zip(digests, classes, strict=True):
        counts += np.bincount(labels[np.isin(few, again)], minlength=manifest.classes)
    return Measure(
        name="repeated files",
        kind=MeasureKind.COUNT,
        values=counts,
        help="images whose very file is in the dataset more than once",
        better=Better.LOW,
    )


def _repeated(digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the digests that occur more than once."""
    digests.sort()
    return np.unique(digests[1:][digests[1:] == digests[:-1]])
