"""What a stream reads: the source of each split, as the configuration describes it."""

from dataclasses import dataclass, replace
from fractions import Fraction

from in21k.shards_manifest.sizes import parse_size
from in21k.shards_manifest.storage.local_files import local_path
from in21k.train.config.settings import Config, DataConfig
from in21k.train.config.sizes import SizeSchedule, schedule_of
from in21k.train.data.interfaces import CacheOptions, Decoding, RandomCrops, ReaderFactory, ReadOptions, TrainingData
from in21k.train.errors import TrainError
from in21k.train.images.augment_draws import Augmentation
from in21k.train.images.mixing import Mixing
from in21k.train.video.clips import Clips


@dataclass(frozen=True)
class StreamSource:
    """What a stream reads, and how it turns what it reads into pixels."""

    open_reader: ReaderFactory
    decoding: Decoding
    augmentation: Augmentation | None = None
    """None for validation, and where the GPU augments."""
    sizes: SizeSchedule | None = None
    """Sides of the images by epoch; None for that of the decoding in all epochs."""
    names_samples: bool = False
    """Whether batches say which images they hold (`BatchLabels.named`), which takes time between processes."""
    clips: Clips | None = None
    """What is taken of each video; None where the samples are images."""

    def image_size(self, epoch: int) -> int:
        """Return the side of an epoch's images in pixels."""
        return self.decoding.image_size if self.sizes is None else self.sizes.at(epoch)

    @property
    def largest_size(self) -> int:
        """The largest side of the images in pixels."""
        return self.decoding.image_size if self.sizes is None else self.sizes.largest

    @property
    def rows(self) -> int:
        """Rows of a batch's pixels for each sample: one, or the frames of a video's clips."""
        return 1 if self.clips is None else self.clips.rows


def augmentation_of(config: Config) -> Augmentation:
    """Return the augmentation of the training images."""
    data = config.data
    return Augmentation(
        seed=config.run.seed,
        cutout=data.cutout,
        ops=data.randaugment_ops,
        magnitude=data.randaugment_magnitude,
        policy=data.randaugment_policy,
        inclusive=data.cutout_inclusive,
        flip=data.horizontal_flip,
        erasing=data.random_erasing,
    )


def mixing_of(config: Config) -> Mixing | None:
    """Return how the training images are mixed in pairs; None where they are not."""
    data = config.data
    if not (data.mixup or data.cutmix) or not data.mix_probability:
        return None
    return Mixing(config.run.seed, data.mixup, data.cutmix, data.mix_probability, data.cutmix_share)


def random_crops_of(config: Config) -> RandomCrops | None:
    """Return the random crops of the training images; None where there are none."""
    data = config.data
    if not data.random_crop_min_area:
        return None
    areas = data.random_crop_min_area, data.random_crop_max_area
    return RandomCrops(config.run.seed, areas, (data.random_crop_min_ratio, data.random_crop_max_ratio))


def train_source(data: TrainingData, config: Config) -> StreamSource:
    """Return the source of the training images: randomly cropped, and augmented unless the GPU does that.

    Only where their size changes with the epoch are they decoded at it: one size gives the pixels that it always gave.
    """
    source, sizes = plain_source(data, "train", config), schedule_of(config.data.image_size)
    decoding = replace(
        source.decoding,
        crop_seed=config.run.seed,
        downscale="" if sizes.is_constant else config.data.downscale,
        random_crops=random_crops_of(config),
    )
    return replace(
        source,
        decoding=decoding,
        augmentation=augmentation_of(config) if config.data.augment_device == "cpu" else None,
        sizes=sizes,
        clips=clips_of(config, seed=config.run.seed),
    )


def val_source(data: TrainingData, config: Config) -> StreamSource:
    """Return the source of the validation images."""
    return plain_source(data, "val", config)


def plain_source(data: TrainingData, split: str, config: Config) -> StreamSource:
    """Return the source of a split's images without augmentation, cropped at the center where they are cropped.

    Their size is the last one.
    """
    settings = config.data
    decoding = data.decoding(schedule_of(settings.image_size).last)
    decoding = replace(decoding, strict=settings.strict, interpolation=settings.interpolation)
    check_frames(data, config.video.frames)
    return StreamSource(data.reader(split, read_options(settings)), decoding, clips=clips_of(config))


def clips_of(config: Config, seed: int | None = None) -> Clips | None:
    """Return the clips that are taken of each video; None where the samples are images.

    Args:
        config: the settings.
        seed: of one clip's random place; None takes those of validation.
    """
    video = config.video
    if not video.frames:
        return None
    count = video.clips if seed is None else 1
    return Clips(frames=video.frames, rate=Fraction(str(video.rate)), count=count, seed=seed)


def check_frames(data: TrainingData, frames: int) -> None:
    """Refuse to take videos for images, or images for videos.

    Args:
        data: images or videos.
        frames: `video.frames`, 0 for images.

    Raises:
        TrainError: the one is not the other.
    """
    is_video = data.decoding(1).is_video
    if is_video and not frames:
        raise TrainError(f"{data.name} holds videos, and the network takes images; transfer it to videos first")
    if frames and not is_video:
        raise TrainError(f"{data.name} holds images, of which no clips of {frames} frames are taken (video.frames)")


def read_options(data: DataConfig) -> ReadOptions:
    """Return how shards are read.

    Raises:
        DatasetError: the cache's folder is a URI, or its size is invalid.
    """
    cache = CacheOptions(str(local_path(data.cache)), parse_size(data.cache_size)) if data.cache else None
    return ReadOptions(cache, data.verify_digest)
