"""A list of images with their labels, wherever the images lie: what every source but prepared shards becomes.

The images stand in an order of their own, by a hash of their keys. Training shuffles blocks of neighbours, and a folder
or archive that is sorted by class would give blocks of one class.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.key_hashes import hash_strings
from in21k.train.arrays import IntArray, Pixels
from in21k.train.data.interfaces import READ_DIRECTLY, Decoding, ReadOptions, Sample
from in21k.train.data.partition import PADDING
from in21k.tree.class_lists import class_list_digest
from in21k.tree.class_names import edge_class_names
from in21k.tree.hierarchy import ROOT, Hierarchy
from in21k.tree.table import named_table

STRETCH = 1024
"""Images that are shuffled as those of one shard are."""


class OpenStore(Protocol):
    """The images of a split, open in one process."""

    def image(self, row: int) -> memoryview | Pixels:
        """Return an image file's bytes, or its pixels, uint8 [H, W, 3].

        Raises:
            OSError: it cannot be read.
        """

    def close(self) -> None:
        """Close all files."""


class ImageStore(Protocol):
    """Where the images of a split are; it is pickled on its way to the loader's processes."""

    def open(self) -> OpenStore:
        """Return the images, open for reading.

        Raises:
            TrainError: they are not there.
        """


@dataclass(frozen=True, eq=False)
class ListedSplit:
    """The N images of a split, as their source lists them."""

    keys: Sequence[str]
    """[N]: what to call each image; each key once."""
    label_ids: IntArray
    """int64 [N]: each image's row in the label sets."""
    store: ImageStore

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def order(self) -> IntArray:
        """int64 [N]: the row that stands at each place."""
        return np.argsort(hash_strings(self.keys), kind="stable").astype(np.int64) if len(self) else np.empty(0, int)

    def reader(self) -> "ListedReaders":
        """Return what opens a reader of the images in their order."""
        keys = pa.array([self.keys[row] for row in self.order.tolist()], pa.string())
        return ListedReaders(keys, self.order, self.label_ids[self.order], self.store)


@dataclass(frozen=True, eq=False)
class ListedDataset:
    """Images in the splits `train` and `val`, and a plain list of C classes; implements `TrainingData`."""

    name: str
    """What to call it in messages."""
    classes: Sequence[str]
    splits: Mapping[str, ListedSplit]
    label_sets: IntArray
    """int64 [ids, K]: the class indices of each id, padded with -1."""
    title: str = "classes of the data"
    """Where the classes are from."""
    image_size: int | None = None
    """Side of the images in pixels; None where they differ."""

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The classes, all at level 0."""
        return flat_hierarchy(self.classes)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the classes, and of the keys and labels in order; the images themselves are not read."""
        digest = hashlib.sha256(self.class_list_sha256.encode())
        for split in ("train", "val"):
            listed = self.splits[split]
            digest.update(b"".join(f"{listed.keys[row]}\n".encode() for row in listed.order.tolist()))
            labels = self.label_sets[listed.label_ids[listed.order]]
            digest.update(f"{split}{labels.shape}".encode() + labels.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def class_list_sha256(self) -> str:
        """SHA-256 of the class names in order of class index."""
        return class_list_digest(self.classes)

    @property
    def images_train(self) -> IntArray:
        """int64 [C]: training images of each class."""
        return self._images("train")

    @property
    def images_val(self) -> IntArray:
        """int64 [C]: validation images of each class."""
        return self._images("val")

    def decoding(self, image_size: int) -> Decoding:
        """Return how the images become pixels: squashed into a square, as images from the wild."""
        return Decoding(image_size=image_size, wild=True)

    def shard_lengths(self, split: str) -> tuple[int, ...]:
        """Return the number of images in each stretch that is shuffled as one shard."""
        total = self.samples(split)
        return tuple(min(STRETCH, total - start) for start in range(0, total, STRETCH))

    def samples(self, split: str) -> int:
        """Return the number of images of a split."""
        return len(self.splits[split])

    def reader(self, split: str, _options: ReadOptions = READ_DIRECTLY) -> "ListedReaders":
        """Return what opens readers of a split."""
        return self.splits[split].reader()

    def cached(self, _options: ReadOptions) -> AbstractContextManager[None]:
        """Return a context that does nothing: the images lie on this machine."""
        return nullcontext()

    def hierarchy_table(self) -> pa.Table:
        """Return the classes as a hierarchy table of one level; classes that are wnids get WordNet's names."""
        names = edge_class_names(tuple(self.classes), {}, self.title)
        return named_table(self.hierarchy, names, self.images_train, self.images_val)

    def _images(self, split: str) -> IntArray:
        labels = self.label_sets[self.splits[split].label_ids]
        return np.bincount(labels[labels >= 0], minlength=len(self.classes)).astype(np.int64)


def flat_hierarchy(classes: Sequence[str]) -> Hierarchy:
    """Return the hierarchy of a plain list of classes: all are roots.

    Raises:
        TreeError: a class is listed twice.
    """
    return Hierarchy(tuple(classes), np.full(len(classes), ROOT, np.int32))


def single_labels(classes: int) -> IntArray:
    """Return int64 [C, 1]: the label sets of images of one class each, whose ids are class indices."""
    return np.arange(classes, dtype=np.int64)[:, None]


@dataclass(frozen=True)
class ListedReaders:
    """Opens readers of a split; as Arrow arrays, millions of keys are pickled in no time."""

    keys: Any
    """A pyarrow string array [N], in order."""
    rows: IntArray
    """int64 [N]: each one's row in the store."""
    label_ids: IntArray
    """int64 [N]."""
    store: ImageStore

    def __call__(self) -> "ListedReader":
        """Return a new reader.

        Raises:
            TrainError: the images are not there.
        """
        return ListedReader(self, self.store.open())


class ListedReader:
    """The samples of a split, read one by one when they are wanted."""

    reads_ahead = False

    def __init__(self, listed: ListedReaders, store: OpenStore) -> None:
        self._listed, self._store = listed, store

    def request(self, numbers: IntArray) -> list[int]:
        """Return the numbers: nothing is read yet."""
        found: list[int] = numbers.tolist()
        return found

    def collect(self, requests: Iterable[int]) -> list[Sample | None]:
        """Return the samples of these numbers, in order; None for PADDING."""
        return [None if number == PADDING else self._sample(number) for number in requests]

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _sample(self, number: int) -> Sample:
        key, label = self._listed.keys[number].as_py(), int(self._listed.label_ids[number])
        try:
            return Sample(key, self._store.image(int(self._listed.rows[number])), label)
        except OSError as error:
            return Sample(key, memoryview(b""), label, one_line(error))
