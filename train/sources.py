"""What the streams of a dataset's splits are read from, by the configuration."""

from in21k.train.augment_plan import Augmentation
from in21k.train.config import Config, DataConfig
from in21k.train.dataset import Dataset
from in21k.train.open_shards import ReadOptions
from in21k.train.shard_cache import CacheOptions, parse_size
from in21k.train.stream import Source


def augmentation_of(config: Config) -> Augmentation:
    """Return what is done to the training images."""
    data = config.data
    return Augmentation(config.run.seed, data.cutout, data.randaugment_ops, data.randaugment_magnitude)


def train_source(dataset: Dataset, config: Config) -> Source:
    """Return the source of the training images; they come without augmentation where the GPU augments."""
    data = config.data
    augmentation = augmentation_of(config) if data.augment_device == "cpu" else None
    return Source(
        dataset.location,
        dataset.manifest,
        "train",
        data.image_size,
        augmentation,
        config.run.seed,
        data.strict,
        read_options(data),
    )


def val_source(dataset: Dataset, config: Config) -> Source:
    """Return the source of the validation images."""
    data = config.data
    return Source(
        dataset.location,
        dataset.manifest,
        "val",
        data.image_size,
        strict=data.strict,
        reading=read_options(data),
    )


def read_options(data: DataConfig) -> ReadOptions:
    """Return how shards are read.

    Raises:
        TrainError: the cache's size is no number of bytes.
    """
    cache = CacheOptions(data.cache, parse_size(data.cache_size)) if data.cache else None
    return ReadOptions(cache, data.verify_digest)
