"""What the streams of the splits are read from, by the configuration."""

from dataclasses import dataclass

from in21k.shards_manifest.sizes import parse_size
from in21k.train.config.settings import Config, DataConfig
from in21k.train.data.interfaces import CacheOptions, ReaderFactory, ReadOptions, TrainingData
from in21k.train.images.augment_draws import Augmentation


@dataclass(frozen=True)
class Source:
    """What a stream is read from, and how its images are made."""

    open_reader: ReaderFactory
    image_size: int
    """Side of the images in pixels."""
    augmentation: Augmentation | None = None
    """None for validation, and where the device augments."""
    crops: bool = False
    """Whether a square is cut out of images that are not square; they are squished otherwise."""
    crop_seed: int | None = None
    """Of where it is cut out; None takes the middle."""
    strict: bool = False
    """Whether an image that does not decode is an error."""
    as_found: bool = False
    """Whether images are as they were found: they are turned upright then, and decoded where libjpeg only warns."""


def augmentation_of(config: Config) -> Augmentation:
    """Return what is done to the training images."""
    data = config.data
    return Augmentation(config.run.seed, data.cutout, data.randaugment_ops, data.randaugment_magnitude)


def train_source(data: TrainingData, config: Config) -> Source:
    """Return the source of the training images; they come without augmentation where the GPU augments."""
    settings = config.data
    return Source(
        data.reader("train", read_options(settings)),
        settings.image_size,
        augmentation_of(config) if settings.augment_device == "cpu" else None,
        data.crops,
        config.run.seed,
        settings.strict,
        data.as_found,
    )


def val_source(data: TrainingData, config: Config) -> Source:
    """Return the source of the validation images."""
    return plain_source(data, "val", config)


def plain_source(data: TrainingData, split: str, config: Config) -> Source:
    """Return the source of a split's images as they are, without augmentation."""
    settings = config.data
    reader = data.reader(split, read_options(settings))
    return Source(reader, settings.image_size, crops=data.crops, strict=settings.strict, as_found=data.as_found)


def read_options(data: DataConfig) -> ReadOptions:
    """Return how shards are read.

    Raises:
        DatasetError: the cache size is invalid.
    """
    cache = CacheOptions(data.cache, parse_size(data.cache_size)) if data.cache else None
    return ReadOptions(cache, data.verify_digest)
