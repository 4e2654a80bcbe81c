"""A prepared dataset as training sees it: manifest, hierarchy, images a class."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.files import Location, locate
from in21k.shards_manifest.manifest import HIERARCHY, Manifest, read_manifest
from in21k.train.errors import TrainError
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.table import class_list_digest, read_hierarchy


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared dataset, opened."""

    location: Location
    manifest: Manifest
    hierarchy: Hierarchy
    images_train: npt.NDArray[np.int64]
    """int64 [C]: training images of each class."""
    images_val: npt.NDArray[np.int64]
    """int64 [C]: validation images of each class."""

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest: two datasets with the same one hold the same samples in the same order."""
        return hashlib.sha256(self.manifest.to_json()).hexdigest()

    def shard_lengths(self, split: str) -> tuple[int, ...]:
        """Return the number of samples in each shard of a split."""
        return tuple(shard.samples for shard in self.manifest.splits[split])


def open_dataset(text: str) -> Dataset:
    """Return the dataset in a folder or below a URI.

    Raises:
        DatasetError: there is no finished dataset, or its files contradict each other.
        TreeError: the hierarchy table is damaged.
    """
    location = locate(text)
    manifest = read_manifest(location)
    table = location.child(HIERARCHY)
    with table.open_input() as file:
        hierarchy = read_hierarchy(file, table.text)
    if class_list_digest(hierarchy.wnids) != manifest.class_list_sha256 or len(hierarchy) != manifest.classes:
        raise TrainError(f"{table.text} lists {len(hierarchy)} classes that are not the manifest's {manifest.classes}")
    try:
        with table.open_input() as file:
            counts = pq.read_table(file, columns=["images_train", "images_val"])
    except pa.ArrowInvalid as error:
        raise TrainError(f"{table.text} does not say how many images a class has ({error})") from error
    train, val = (counts[name].to_numpy().astype(np.int64) for name in ("images_train", "images_val"))
    return Dataset(location, manifest, hierarchy, train, val)
