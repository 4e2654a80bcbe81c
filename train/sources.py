"""What the streams of the splits are read from, by the configuration."""

from in21k.train.augment_plan import Augmentation
from in21k.train.config import Config, DataConfig
from in21k.train.open_shards import ReadOptions
from in21k.train.shard_cache import CacheOptions, parse_size
from in21k.train.stream import Source
from in21k.train.training_data import TrainingData


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
        TrainError: the cache's size is no number of bytes.
    """
    cache = CacheOptions(data.cache, parse_size(data.cache_size)) if data.cache else None
    return ReadOptions(cache, data.verify_digest)
