"""A dataset as a list of images with their labels, wherever the images are: what every open dataset becomes.

The images are ordered by a hash of their keys. Training shuffles blocks of consecutive images, and in a folder or
archive that is sorted by class, each block would be of a single class.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.decode import Pixels
from in21k.shards_manifest.key_hashes import hash_strings
from in21k.train.arrays import IntArray
from in21k.train.data.interfaces import READ_DIRECTLY, Decoding, Listing, ReadOptions, Sample
from in21k.train.data.partition import PADDING
from in21k.train.errors import TrainError
from in21k.tree.class_lists import class_list_digest
from in21k.tree.class_names import edge_class_names
from in21k.tree.hierarchy import ROOT, Hierarchy
from in21k.tree.table import named_table

SHARD_LENGTH = 1024
"""Images that are shuffled together, as a shard's are."""


class OpenStore(Protocol):
    """The images of a split, open in one process."""

    def image(self, row: int) -> memoryview | Pixels | Path:
        """Return an image file's bytes, or its pixels, uint8 [H, W, 3], or a video file's path.

        Raises:
            OSError: it cannot be read.
        """

    def close(self) -> None:
        """Close all files."""


class ImageStore(Protocol):
    """Where the images of a split are. It is pickled on its way to the loader processes."""

    def open(self) -> OpenStore:
        """Return the images, open for reading.

        Raises:
            TrainError: they are missing.
        """

    def path(self, row: int) -> str | None:
        """Return the file that holds an image, its own or a tar; None where there are only pixels."""


@dataclass(frozen=True, eq=False)
class ListedSplit:
    """The N images of a split, in the order in which they were listed."""

    keys: Sequence[str]
    """[N]: a name for each image, unique."""
    label_ids: IntArray
    """int64 [N]: each image's row in the label sets."""
    store: ImageStore

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def order(self) -> IntArray:
        """int64 [N]: the images in the order in which they are read, by their rows in the list."""
        return np.argsort(hash_strings(self.keys), kind="stable").astype(np.int64) if len(self) else np.empty(0, int)

    def reader(self) -> "ListedReaders":
        """Return what opens readers of the images, in the order in which they are read."""
        keys = pa.array([self.keys[row] for row in self.order.tolist()], pa.string())
        return ListedReaders(keys, self.order, self.label_ids[self.order], self.store)


@dataclass(frozen=True, eq=False)
class ListedDataset:
    """Images in the splits `train` and `val`, and a plain list of C classes; implements `TrainingData`."""

    name: str
    """What messages call it."""
    classes: Sequence[str]
    splits: Mapping[str, ListedSplit]
    label_sets: IntArray
    """int64 [C or N, K]: class indices, padded with -1; one row per class, or per image where images have several."""
    title: str = "classes of the data"
    """Where the classes come from."""
    image_size: int | None = None
    """Side of the images in pixels; None where they differ."""
    lineages: Sequence[Sequence[str]] = ()
    """Of each class, the names of what lies above it, the outermost first; empty where the data have no taxonomy."""
    missing: Sequence[str] = ()
    """Names of samples that a list has and the folder has not; they are in no split."""
    left_out: str = ""
    """Which files among the images are in no form that is read, in words; empty if there are none."""
    val_share: float = 0.0
    """The share that was held out for validation, 0 to 1; 0 where the data have a val split of their own."""

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
    def is_single_label(self) -> bool:
        """Whether each image has one class; otherwise each has a row of its own in the label sets."""
        return np.array_equal(self.label_sets, single_labels(len(self.classes)))

    @property
    def images_train(self) -> IntArray:
        """int64 [C]: training images per class."""
        return self._images("train")

    @property
    def images_val(self) -> IntArray:
        """int64 [C]: validation images per class."""
        return self._images("val")

    def decoding(self, image_size: int) -> Decoding:
        """Return how the images become pixels: squished into a square, as images from the wild."""
        return Decoding(image_size=image_size, wild=True)

    def shard_lengths(self, split: str) -> tuple[int, ...]:
        """Return the number of images in each run that is shuffled as a shard is."""
        total = self.samples(split)
        return tuple(min(SHARD_LENGTH, total - start) for start in range(0, total, SHARD_LENGTH))

    def samples(self, split: str) -> int:
        """Return the number of images in a split."""
        return len(self.splits[split])

    def listing(self, split: str) -> Listing:
        """Return the keys and labels of a split's images, in the order in which they are read."""
        readers = self.splits[split].reader()
        return Listing(readers.keys, readers.label_ids)

    def reader(self, split: str, _options: ReadOptions = READ_DIRECTLY) -> "ListedReaders":
        """Return what opens readers of a split."""
        return self.splits[split].reader()

    def cached(self, _options: ReadOptions) -> AbstractContextManager[None]:
        """Return a context that does nothing: the images are on this machine."""
        return nullcontext()

    def hierarchy_table(self) -> pa.Table:
        """Return the classes as a hierarchy table of one level, with WordNet's names for those that are wnids."""
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
    """Return int64 [C, 1]: the label sets of images that have one class each."""
    return np.arange(classes, dtype=np.int64)[:, None]


@dataclass(frozen=True)
class ListedReaders:
    """Opens readers of a split. The keys are an Arrow array, so that millions of them are pickled quickly."""

    keys: Any
    """A pyarrow string array [N], in the order in which images are read."""
    rows: IntArray
    """int64 [N]: each image's row in the store."""
    label_ids: IntArray
    """int64 [N]: each image's row in the label sets."""
    store: ImageStore

    def __call__(self) -> "ListedReader":
        """Return a new reader.

        Raises:
            TrainError: the images are missing.
        """
        return ListedReader(self, self.store.open())

    def paths(self, numbers: IntArray) -> list[str | None]:
        """Return the file that holds each of these samples' images; None where there are only pixels."""
        return [self.store.path(row) for row in self.rows[numbers].tolist()]


class ListedReader:
    """Reads the samples of a split one at a time, when they are needed."""

    reads_ahead = False

    def __init__(self, listed: ListedReaders, store: OpenStore) -> None:
        self._listed, self._store = listed, store

    def request(self, numbers: IntArray) -> list[int]:
        """Return the numbers themselves; nothing is read yet."""
        found: list[int] = numbers.tolist()
        return found

    def collect(self, requests: Iterable[int]) -> list[Sample | None]:
        """Return the samples with these numbers, in order; None for PADDING.

        Raises:
            TrainError: an image file cannot be read.
        """
        return [None if number == PADDING else self._sample(number) for number in requests]

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _sample(self, number: int) -> Sample:
        key, label = self._listed.keys[number].as_py(), int(self._listed.label_ids[number])
        try:
            return Sample(key, self._store.image(int(self._listed.rows[number])), label)
        except OSError as error:
            raise TrainError(f"the image {key} cannot be read: {one_line(error)}; restore it or remove it") from error
