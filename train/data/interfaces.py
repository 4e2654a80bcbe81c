"""What training needs of its data, whatever they lie in: samples, their readers, and the data as a whole."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from in21k.train.arrays import IntArray, Pixels
from in21k.tree.hierarchy import Hierarchy


@dataclass(frozen=True)
class CacheOptions:
    """Where the cache lies and how large it may become."""

    folder: str
    limit: int
    """Bytes, those of shards being written included."""


@dataclass(frozen=True)
class ReadOptions:
    """How shards are read."""

    cache: CacheOptions | None = None
    """Where whole shards of an object store are kept on this machine."""
    verify_digest: bool = False
    """Compare each shard's SHA-256 with the manifest's when it is opened, or once when it enters the cache."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample, its image not yet decoded."""

    key: str
    image: memoryview | Pixels
    """The image file's bytes, or uint8 [H, W, 3] where it is kept as pixels; none where the sample is damaged."""
    class_index: int
    """The sample's row in the data's label sets: its class, wherever an image has one."""
    damage: str = ""
    """What is wrong with the sample; empty as a rule."""


class SampleReader(Protocol):
    """Reads the samples of a split by number, in the process that decodes them."""

    @property
    def reads_ahead(self) -> bool:
        """Whether requests are worth making before their samples are needed."""

    def request(self, numbers: IntArray) -> Sequence[Any]:
        """Begin to read the samples of these numbers (PADDING: none), and return what `collect` takes."""

    def collect(self, requests: Iterable[Any]) -> list[Sample | None]:
        """Return the samples of a request, in order; None for PADDING.

        Raises:
            TrainError: the data cannot be read, or are not what they were.
        """

    def close(self) -> None:
        """Close all that is open."""


class ReaderFactory(Protocol):
    """Opens a reader. It is pickled on its way to the loader's processes, so it holds no open file."""

    def __call__(self) -> SampleReader:
        """Return a new reader.

        Raises:
            DatasetError: the data cannot be read.
        """


class TrainingData(Protocol):
    """Images in the splits `train` and `val`, with the labels of C classes.

    A sample carries an id, the row of `label_sets` that lists its classes. Where an image has one class, ids are class
    indices; where it has several, each image has an id of its own.
    """

    @property
    def name(self) -> str:
        """What to call the data in messages."""

    @property
    def digest(self) -> str:
        """Two data with the same digest hold the same samples in the same order."""

    @property
    def class_list_sha256(self) -> str:
        """SHA-256 of the classes in order of class index."""

    @property
    def hierarchy(self) -> Hierarchy:
        """The C classes; one level where they are a plain list."""

    @property
    def label_sets(self) -> IntArray:
        """int64 [ids, K]: the class indices of each id, padded with -1."""

    @property
    def images_train(self) -> IntArray:
        """int64 [C]: training images of each class."""

    @property
    def images_val(self) -> IntArray:
        """int64 [C]: validation images of each class."""

    @property
    def image_size(self) -> int | None:
        """Side of the images in pixels; None where each has its own."""

    @property
    def crops(self) -> bool:
        """Whether a square is cut out of images that are not square; they are squished otherwise."""

    @property
    def as_found(self) -> bool:
        """Whether the images are as they were found, and not as in21k-prep wrote them."""

    def shard_lengths(self, split: str) -> tuple[int, ...]:
        """Return the number of samples in each shard of a split, or in each stretch that is shuffled as one."""

    def samples(self, split: str) -> int:
        """Return the number of samples of a split."""

    def reader(self, split: str, options: ReadOptions) -> ReaderFactory:
        """Return what opens a reader of a split."""

    def cached(self, options: ReadOptions) -> AbstractContextManager[None]:
        """Return the context within which readers may use the cache.

        Raises:
            TrainError: the cache's folder is not usable, or too small.
        """

    def hierarchy_table(self) -> pa.Table:
        """Return the hierarchy with the classes' names, as `in21k.tree.table` describes it.

        Raises:
            DatasetError: it cannot be read.
        """
