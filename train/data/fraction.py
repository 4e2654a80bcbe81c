"""A fraction of the training images, nested: whatever is in a smaller fraction is in every larger one.

The images of each class are taken in the order of a hash of their keys, the one by which `in21k-prep run --fraction`
takes them. Where images have any number of classes, they are taken in that order all together. The fraction depends on
no seed of the run, so that runs with different seeds share their images; the val split stays whole.
"""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from in21k.shards_manifest.key_hashes import SELECTION, keyed_hash
from in21k.train.arrays import IntArray
from in21k.train.data.interfaces import (
    READ_DIRECTLY,
    Decoding,
    Listing,
    ReaderFactory,
    ReadOptions,
    SampleReader,
    TrainingData,
)
from in21k.train.data.partition import PADDING
from in21k.tree.hierarchy import Hierarchy

_SEED = 0
"""in21k-prep's own, unless it is given another."""


def with_fraction(data: TrainingData, fraction: float) -> TrainingData:
    """Return data with a fraction of their training images, at least one of each class; all of them at 1.

    Raises:
        DatasetError: the keys of the images cannot be read.
    """
    if fraction >= 1:
        return data
    listing = data.listing("train")
    classes = listing.label_ids if data.is_single_label else np.zeros_like(listing.label_ids)
    return FractionData(data, fraction, chosen(listing.keys, classes, fraction))


def whole_of(data: TrainingData) -> TrainingData:
    """Return the data of which these are a fraction, or else these."""
    return data.whole if isinstance(data, FractionData) else data


def chosen(keys: Any, classes: IntArray, fraction: float) -> IntArray:
    """Return int64 [M], ascending: the numbers of the samples that a fraction has.

    Args:
        keys: a pyarrow chunked array of strings [N].
        classes: int64 [N]: of which the fraction is taken one by one.
        fraction: more than 0, and at most 1.
    """
    hashes = np.fromiter(
        (keyed_hash(_SEED, SELECTION, key) for chunk in _chunks(keys) for key in chunk.to_pylist()),
        np.uint64,
        count=len(keys),
    )
    order = np.lexsort((hashes, classes))
    images = np.bincount(classes, minlength=1)
    wanted = np.maximum(np.minimum(images, 1), np.round(fraction * images)).astype(np.int64)
    starts = np.cumsum(images) - images
    rank = np.arange(len(order)) - starts[classes[order]]
    found: IntArray = np.sort(order[rank < wanted[classes[order]]]).astype(np.int64)
    return found


def _chunks(keys: Any) -> list[Any]:
    return keys.chunks if isinstance(keys, pa.ChunkedArray) else [keys]


@dataclass(frozen=True, eq=False)
class FractionData:
    """Some of the training images of other data; implements `TrainingData`."""

    whole: TrainingData
    fraction: float
    numbers: IntArray
    """int64 [M], ascending: of its training images among all of them."""

    @property
    def name(self) -> str:
        """What messages call the data."""
        return self.whole.name

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole's digest and the fraction."""
        return hashlib.sha256(f"{self.whole.digest} fraction {self.fraction!r}".encode()).hexdigest()

    @property
    def class_list_sha256(self) -> str:
        """SHA-256 of the classes in order of class index."""
        return self.whole.class_list_sha256

    @property
    def hierarchy(self) -> Hierarchy:
        """The classes, all of them."""
        return self.whole.hierarchy

    @property
    def label_sets(self) -> IntArray:
        """int64 [N, K]: those of the whole."""
        return self.whole.label_sets

    @property
    def is_single_label(self) -> bool:
        """Whether each image has one class."""
        return self.whole.is_single_label

    @cached_property
    def images_train(self) -> IntArray:
        """int64 [C]: training images per class, of the fraction."""
        own, classes = self.listing("train").label_ids, len(self.hierarchy)
        if self.is_single_label:
            return np.bincount(own, minlength=classes).astype(np.int64)
        labels = self.label_sets[own]
        return np.bincount(labels[labels >= 0], minlength=classes).astype(np.int64)

    @property
    def images_val(self) -> IntArray:
        """int64 [C]: validation images per class."""
        return self.whole.images_val

    @property
    def image_size(self) -> int | None:
        """Side of the images in pixels; None where they differ."""
        return self.whole.image_size

    @property
    def missing(self) -> Sequence[str]:
        """Names of samples that the whole lists and has not."""
        return self.whole.missing

    def decoding(self, image_size: int) -> Decoding:
        """Return how the images become pixels at a size."""
        return self.whole.decoding(image_size)

    def shard_lengths(self, split: str) -> tuple[int, ...]:
        """Return the number of samples that each shard of a split has left; a shard without any is left out."""
        lengths = self.whole.shard_lengths(split)
        if split != "train":
            return lengths
        left = np.diff(np.searchsorted(self.numbers, np.cumsum([0, *lengths])))
        return tuple(left[left > 0].tolist())

    def samples(self, split: str) -> int:
        """Return the number of samples in a split."""
        return len(self.numbers) if split == "train" else self.whole.samples(split)

    def listing(self, split: str) -> Listing:
        """Return the keys and labels of a split's samples."""
        whole = self.whole.listing(split)
        if split != "train":
            return whole
        return Listing(whole.keys.take(pa.array(self.numbers)), whole.label_ids[self.numbers])

    def reader(self, split: str, options: ReadOptions = READ_DIRECTLY) -> ReaderFactory:
        """Return what opens readers of a split."""
        whole = self.whole.reader(split, options)
        return FractionReaders(whole, self.numbers) if split == "train" else whole

    def cached(self, options: ReadOptions) -> AbstractContextManager[None]:
        """Return the context within which readers may use the cache."""
        return self.whole.cached(options)

    def hierarchy_table(self) -> pa.Table:
        """Return the hierarchy table, with the images of the fraction counted."""
        table = self.whole.hierarchy_table()
        below = self.hierarchy.subtree_sums(self.images_train + self.images_val)
        for name, counts in (("images_train", self.images_train), ("images_subtree", below)):
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), pa.array(counts, pa.int64()))
        return table


@dataclass(frozen=True, eq=False)
class FractionReaders:
    """Opens readers of a fraction."""

    whole: ReaderFactory
    numbers: IntArray
    """int64 [M]: of the samples in the whole."""

    def __call__(self) -> SampleReader:
        """Return a new reader."""
        return _FractionReader(self.whole(), self.numbers)

    def paths(self, numbers: IntArray) -> list[str | None]:
        """Return the file that holds each of these samples' images."""
        return self.whole.paths(self.numbers[numbers])


class _FractionReader:
    """Reads samples by their numbers in the fraction."""

    def __init__(self, whole: SampleReader, numbers: IntArray) -> None:
        self._whole, self._numbers = whole, numbers
        self.collect, self.close = whole.collect, whole.close

    @property
    def reads_ahead(self) -> bool:
        """Whether another request is worth making before the oldest one is collected."""
        return self._whole.reads_ahead

    def request(self, numbers: IntArray) -> Any:
        """Begin to read the samples with these numbers."""
        return self._whole.request(np.where(numbers == PADDING, PADDING, self._numbers[numbers]))
