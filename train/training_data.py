"""What training needs of its data, whatever they lie in: prepared shards, a folder of images, an archive."""

from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.train.open_shards import ReadOptions
from in21k.train.samples import ReaderFactory
from in21k.tree.hierarchy import Hierarchy


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
    def label_sets(self) -> npt.NDArray[np.int64]:
        """int64 [ids, K]: the class indices of each id, padded with -1."""

    @property
    def images_train(self) -> npt.NDArray[np.int64]:
        """int64 [C]: training images of each class."""

    @property
    def images_val(self) -> npt.NDArray[np.int64]:
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
