"""What training needs from its data, in whatever form they come: samples, their readers, and the data as a whole."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from in21k.shards_manifest.images.decode import Pixels
from in21k.train.arrays import IntArray
from in21k.tree.hierarchy import Hierarchy

ABSENT = -2
"""In a label set, ABSENT - c says that class c is known to be absent: see `TrainingData.label_sets`."""


@dataclass(frozen=True)
class CacheOptions:
    """The cache of shards from an object store: where it is, and how large it may grow."""

    folder: str
    limit: int
    """Bytes, including shards that are being written."""


@dataclass(frozen=True)
class ReadOptions:
    """How shards are read."""

    cache: CacheOptions | None = None
    """Where whole shards of an object store are kept on this machine; None reads ranges of them over the network."""
    verify_digest: bool = False
    """Whether each shard's SHA-256 is compared with the manifest's, on opening or once on entering the cache."""


READ_DIRECTLY = ReadOptions()
"""No cache, and no comparison of digests."""


@dataclass(frozen=True)
class RandomCrops:
    """A box of random area and ratio in each image, which takes the place of the image."""

    seed: int
    areas: tuple[float, float]
    """The least and the greatest area, as shares of the image's."""
    ratios: tuple[float, float]
    """The least and the greatest ratio of width to height."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the images of a split become pixels, before augmentation."""

    image_size: int
    """Side of the square that every image is resized to, in pixels."""
    crops: bool = False
    """Whether images that are not square are cropped to a square; otherwise they are squished into one."""
    crop_seed: int | None = None
    """Seed of the crops' positions, which change with each epoch; None crops at the center."""
    strict: bool = False
    """Whether an image that does not decode is an error; otherwise it is skipped."""
    wild: bool = False
    """Whether the images come from the wild: turned upright as EXIF says, and decoded even if libjpeg warns.

    A dataset that in21k-prep wrote has no such images: there, a warning means that bytes have changed since.
    """
    downscale: str = ""
    """How images are made smaller: as all are resized (empty), `libjpeg` or `linear`.

    `libjpeg` decodes a JPEG at a scale of 1 to 7 eighths where that brings its short side to the image size, which
    leaves nothing to resize. `linear` does so up to 4 eighths; an image whose sides shrink to half or more is decoded
    whole, and each pixel interpolated between the four that are nearest. All others are resized.
    """
    interpolation: str = "bicubic"
    """How images of another size are resized: bicubic or bilinear, both antialiased."""
    random_crops: RandomCrops | None = None
    """Random crops, in place of squares; cut out of the whole image, which is therefore decoded at its full size."""
    is_video: bool = False
    """Whether the samples are video files, of which clips are decoded."""


@dataclass(frozen=True, eq=False)
class Listing:
    """The N samples of a split, in order of their numbers."""

    keys: Any
    """A pyarrow array of strings [N], in one chunk or several."""
    label_ids: IntArray
    """int64 [N]: each sample's row in the data's label sets."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample, with its image not yet decoded."""

    key: str
    image: memoryview | Pixels | Path
    """The image file's bytes, or uint8 [H, W, 3] where the data hold pixels; of a video, the path of its file."""
    class_index: int
    """The sample's row in the data's label sets; where each image has one class, that is the class index."""
    fault: str = ""
    """Why there is no image where its file cannot be read and that is no reason to stop; empty if there is one."""


class SampleReader(Protocol):
    """Reads the samples of a split by number, in the process that decodes them."""

    @property
    def reads_ahead(self) -> bool:
        """Whether another request is worth making before the oldest one is collected."""

    def request(self, numbers: IntArray) -> Sequence[Any]:
        """Begin to read the samples with these numbers, or none for PADDING; return what `collect` takes."""

    def collect(self, requests: Iterable[Any]) -> list[Sample | None]:
        """Return the samples of a request, in order; None for PADDING.

        Raises:
            TrainError: the data cannot be read, are damaged, or have changed. Whether an image decodes is seen later.
        """

    def close(self) -> None:
        """Close all open files."""


class ReaderFactory(Protocol):
    """Opens readers. It is pickled on its way to the loader processes, so it holds no open file."""

    def __call__(self) -> SampleReader:
        """Return a new reader.

        Raises:
            DatasetError: the data cannot be read.
        """

    def paths(self, numbers: IntArray) -> list[str | None]:
        """Return the file that holds each of these samples' images: its own, or a tar; None where no file is known.

        The path of a dataset's shard is relative to the dataset.
        """


class TrainingData(Protocol):
    """Images in the splits `train` and `val`, labeled with C classes.

    A sample carries a row number of `label_sets`, and that row lists its classes. Where each image has one class, the
    row number is the class index; where images have several, each image has a row of its own.
    """

    @property
    def name(self) -> str:
        """What messages call the data."""

    @property
    def digest(self) -> str:
        """Data with the same digest have the same samples in the same order."""

    @property
    def class_list_sha256(self) -> str:
        """SHA-256 of the classes in order of class index."""

    @property
    def hierarchy(self) -> Hierarchy:
        """The C classes; of one level where they are a plain list."""

    @property
    def label_sets(self) -> IntArray:
        """int64 [N, K]: class indices, padded with -1; N is C, or the number of images where each has its own row.

        Data that know only some classes of each image list those known to be absent, too, as ABSENT - class index; what
        is neither is unknown. Without any such entry, every class that is not listed is absent.
        """

    @property
    def is_single_label(self) -> bool:
        """Whether each image has one class, whose index its samples carry; otherwise it has any number of classes."""

    @property
    def images_train(self) -> IntArray:
        """int64 [C]: training images per class."""

    @property
    def images_val(self) -> IntArray:
        """int64 [C]: validation images per class."""

    @property
    def image_size(self) -> int | None:
        """Side of the images in pixels; None where they differ."""

    @property
    def missing(self) -> Sequence[str]:
        """Names of samples that a list has and the data have not; they are in no split."""

    def decoding(self, image_size: int) -> Decoding:
        """Return how these images become pixels at a size: cropped at the center or squished, skipped if damaged."""

    def shard_lengths(self, split: str) -> tuple[int, ...]:
        """Return the number of samples in each shard of a split, or in each run of samples shuffled as a shard is."""

    def samples(self, split: str) -> int:
        """Return the number of samples in a split."""

    def listing(self, split: str) -> Listing:
        """Return the keys and labels of a split's samples; no image is read.

        Raises:
            DatasetError: they cannot be read.
        """

    def reader(self, split: str, options: ReadOptions = READ_DIRECTLY) -> ReaderFactory:
        """Return what opens readers of a split."""

    def cached(self, options: ReadOptions) -> AbstractContextManager[None]:
        """Return the context within which readers may use the cache.

        Raises:
            TrainError: the cache's folder is not usable, or the cache is too small.
        """

    def hierarchy_table(self) -> pa.Table:
        """Return the hierarchy with the names of its classes, in the format of `in21k.tree.table`.

        Raises:
            DatasetError: it cannot be read.
        """
