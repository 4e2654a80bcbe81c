"""A prepared dataset as training sees it: manifest, hierarchy, images per class."""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from in21k.shards_manifest.manifest import HIERARCHY, SAMPLES, Manifest, read_manifest
from in21k.shards_manifest.parquet_table import columns_of
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import Location, locate
from in21k.shards_manifest.tables import read_recorded, require_recorded_length
from in21k.train.arrays import IntArray
from in21k.train.data.interfaces import READ_DIRECTLY, Decoding, Listing, ReadOptions
from in21k.train.data.prepared.cache import usable_cache
from in21k.train.data.prepared.reader import ShardReaders
from in21k.train.errors import TrainError
from in21k.tree.class_lists import class_list_digest
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.table import ANY_SCHEMA, LATER_COLUMNS, READ_SCHEMA, SCHEMA, hierarchy_of

_COLUMNS = pa.schema([*READ_SCHEMA, SCHEMA.field("images_train"), SCHEMA.field("images_val")])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared dataset, opened; implements `TrainingData`."""

    location: Location
    manifest: Manifest
    hierarchy: Hierarchy
    images_train: IntArray
    """int64 [C]: training images per class."""
    images_val: IntArray
    """int64 [C]: validation images per class."""

    @property
    def name(self) -> str:
        """What messages call it: its folder or URI."""
        return self.location.text

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest; datasets with the same one have the same samples in the same order."""
        return hashlib.sha256(self.manifest.to_json()).hexdigest()

    @property
    def class_list_sha256(self) -> str:
        """SHA-256 of the wnids in order of class index."""
        return self.manifest.class_list_sha256

    @property
    def label_sets(self) -> IntArray:
        """int64 [C, L]: for each class index, the class and all its ancestors, padded with -1."""
        return self.hierarchy.ancestors.astype(np.int64)

    @property
    def is_single_label(self) -> bool:
        """Whether each image has one class: always, and the hierarchy adds its ancestors."""
        return True

    @property
    def image_size(self) -> int | None:
        """Side of the images in pixels; None if the manifest does not state it."""
        return self.manifest.images.size

    @property
    def missing(self) -> Sequence[str]:
        """Names of samples that are listed and not there: none, or the dataset would not open."""
        return ()

    def decoding(self, image_size: int | None = None) -> Decoding:
        """Return how the images become pixels: cropped where `in21k-prep` resized the short edge, at the center.

        Args:
            image_size: in pixels; by default the images' own.

        Raises:
            TrainError: neither the caller nor the manifest states a size.
        """
        size = image_size or self.image_size
        if size is None:
            raise TrainError(f"{self.name} does not say how large its images are; give a size")
        return Decoding(image_size=size, crops=not self.manifest.images.is_square)

    def shard_lengths(self, split: str) -> tuple[int, ...]:
        """Return the number of samples in each shard of a split."""
        return tuple(shard.samples for shard in self.manifest.splits[split])

    def samples(self, split: str) -> int:
        """Return the number of samples in a split."""
        return self.manifest.samples(split)

    def listing(self, split: str) -> Listing:
        """Return the keys and classes of a split's samples, from the sample table.

        Raises:
            DatasetError: the table is missing, or contradicts the manifest.
        """
        table = SampleTable(self.location, self.manifest)
        shards = [table.keys_and_index(split, shard) for shard in range(len(self.manifest.splits[split]))]
        labels = [np.empty(0, np.int64), *(index.class_indices for _, index in shards)]
        return Listing(pa.chunked_array([keys for keys, _ in shards], pa.string()), np.concatenate(labels))

    def reader(self, split: str, options: ReadOptions = READ_DIRECTLY) -> ShardReaders:
        """Return what opens readers of a split's shards."""
        return ShardReaders(self.location, self.manifest, split, options)

    def cached(self, options: ReadOptions) -> AbstractContextManager[None]:
        """Return the context within which readers may use the cache.

        Raises:
            TrainError: the cache's folder is not usable, or the cache is too small for a shard.
        """
        return usable_cache(options.cache, self.manifest)

    def hierarchy_table(self) -> pa.Table:
        """Return the dataset's hierarchy table.

        Raises:
            DatasetError: it cannot be read.
        """
        content = read_recorded(self.location, self.manifest, HIERARCHY)
        table = columns_of(content, self.location.child(HIERARCHY).text, ANY_SCHEMA)
        there = [field for field in SCHEMA if field.name not in LATER_COLUMNS or not table[field.name].null_count]
        schema = pa.schema(there, metadata=table.schema.metadata)
        return table.select(schema.names).cast(schema)


def open_dataset(location: str) -> Dataset:
    """Return the prepared dataset in a folder or at a URI such as s3://bucket/imagenet21k.

    Raises:
        DatasetError: there is no finished dataset, or its files contradict each other.
        TreeError: the hierarchy table is damaged.
    """
    root = locate(location)
    manifest = read_manifest(root)
    table = root.child(HIERARCHY)
    content = read_recorded(root, manifest, HIERARCHY)
    require_recorded_length(root, manifest, SAMPLES)
    columns = columns_of(content, table.text, _COLUMNS)
    hierarchy = hierarchy_of(columns.select(READ_SCHEMA.names), table.text)
    if class_list_digest(hierarchy.wnids) != manifest.class_list_sha256 or len(hierarchy) != manifest.classes:
        raise TrainError(
            f"{table.text} lists {len(hierarchy)} classes, which are not the {manifest.classes} of the manifest"
        )
    train, val = (columns[name].to_numpy().astype(np.int64) for name in ("images_train", "images_val"))
    return Dataset(location=root, manifest=manifest, hierarchy=hierarchy, images_train=train, images_val=val)
