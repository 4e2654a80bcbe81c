"""The settings of a run's images: their size, batches and augmentation, how they are read; and of clips of videos."""

from dataclasses import dataclass

from in21k.train.config.fields import setting
from in21k.train.config.sizes import MAX_SIDE


@dataclass(frozen=True)
class DataConfig:
    """Images, batches and augmentation."""

    image_size: int | str = setting(
        0,
        "Side of the images in pixels; 0 means the dataset's. Or the sides of the training images by their first "
        "epoch, the last of which is the model's.",
        low=0,
        high=MAX_SIDE,
        by_epoch=True,
    )
    fraction: float = setting(
        1.0,
        "Share of each class's training images to train on, one at least; smaller shares are parts of larger ones. "
        "Where images have several classes, the share of all of them.",
        low=1e-6,
        high=1,
    )
    batch_size: int = setting(256, "Training images per step, over all ranks together.", low=1, high=2**24)
    block_samples: int = setting(
        32,
        "Neighboring samples of a shard that stay together in the order of an epoch and are read at once; more make "
        "fewer, longer reads of an object store.",
        low=1,
        high=2**24,
    )
    eval_batch_size: int = setting(256, "Validation images per step, on each rank.", low=1, high=2**24)
    interpolation: str = setting(
        "bicubic",
        "How images of another size are resized, in training and wherever the model is used; antialiased in both "
        "cases.",
        choices=("bicubic", "bilinear"),
    )
    downscale: str = setting(
        "libjpeg",
        "How images come to the smaller sizes of a size schedule: libjpeg (scaled as JPEGs are decoded) or linear (so "
        "up to one half; between that and the whole, decoded whole and interpolated, which is faster).",
        choices=("libjpeg", "linear"),
    )
    random_crop_min_area: float = setting(
        0.0,
        "Least area of the random crop that takes a training image's place, as a fraction of the image's; 0 turns "
        "random crops off.",
        low=0,
        high=1,
    )
    random_crop_max_area: float = setting(1.0, "Greatest area of a random crop.", low=0, high=1)
    random_crop_min_ratio: float = setting(
        0.75,
        "Least ratio of a random crop's width to its height, before it is resized to a square.",
        low=0.01,
        high=100,
    )
    random_crop_max_ratio: float = setting(4 / 3, "Greatest ratio of a random crop.", low=0.01, high=100)
    horizontal_flip: float = setting(
        0.0,
        "Probability of mirroring a training image, left for right, before Cutout and all else but the crop; 0 never.",
        low=0,
        high=1,
    )
    cutout: float = setting(
        0.5, "Side of the Cutout square as a fraction of the image's side; 0 turns Cutout off.", low=0, high=1
    )
    cutout_inclusive: bool = setting(
        False,
        "Let Cutout's square include its far edges, as one that Pillow draws: 113 pixels of 224, not 112.",
    )
    randaugment_policy: str = setting(
        "torchvision",
        "RandAugment as in torchvision (each operation done, at one strength, black from outside the image) or as in "
        "the package randaugment (each done with probability 0.5, at a random strength, gray from outside).",
        choices=("torchvision", "randaugment"),
    )
    randaugment_ops: int = setting(2, "RandAugment operations per image; 0 turns RandAugment off.", low=0, high=14)
    randaugment_magnitude: int = setting(9, "Strength of torchvision's RandAugment.", low=0, high=30)
    random_erasing: float = setting(
        0.0,
        "Probability of random erasing, after all else: a box of 2 to 33 % of a training image becomes noise; 0 never.",
        low=0,
        high=1,
    )
    mixup: float = setting(
        0.0,
        "Mixup's alpha: neighbors of a step are blended in pairs, by shares of Beta(alpha, alpha); 0 turns mixup off.",
        low=0,
        high=1000,
    )
    cutmix: float = setting(
        0.0,
        "CutMix's alpha: neighbors of a step exchange a box, whose area is a share of Beta(alpha, alpha); 0 turns "
        "CutMix off.",
        low=0,
        high=1000,
    )
    mix_probability: float = setting(1.0, "Probability that a pair is mixed, with mixup or CutMix on.", low=0, high=1)
    cutmix_share: float = setting(
        0.5, "Fraction of the mixed pairs that CutMix mixes, with mixup and CutMix on.", low=0, high=1
    )
    augment_device: str = setting(
        "cpu",
        "Where images are augmented: cpu (image by image, in the loader processes) or gpu (batch by batch, on the "
        "training device). Mixup and CutMix are always done there.",
        choices=("cpu", "gpu"),
    )
    strict: bool = setting(
        False, "Treat a sample that does not decode as an error, instead of skipping and reporting it."
    )
    max_skipped: float = setting(
        0.001,
        "Largest share of images that may fail to decode; more end the run. Five images in a pass are always allowed, "
        "but none at 0.",
        low=0,
        high=1,
    )
    verify_digest: bool = setting(False, "Check each shard's SHA-256 against the manifest before it is used.")
    cache: str = setting("", "A local folder that keeps shards of an object store; empty for no cache.", text="free")
    cache_size: str = setting("100GB", "The most that the cache may hold, such as 200GB or 1.5TiB.", text="size")
    pinned_bytes: str = setting(
        "4GB",
        "The most memory that each rank page-locks for batches on their way to its GPU; copies from other memory are "
        "slower.",
        text="size",
    )


@dataclass(frozen=True)
class VideoConfig:
    """Clips of videos, for data of video files."""

    frames: int = setting(0, "Frames of a clip; 0 for images, which are no videos.", low=0, high=1024)
    rate: float = setting(1.6, "Frames of a clip per second of the video.", low=0.001, high=1000)
    clips: int = setting(
        1,
        "Clips of a validation video, at even distances, one from the middle; their probabilities are averaged.",
        low=1,
        high=256,
    )
    aggregate: str = setting(
        "mean",
        "What makes one vector of the frames' features: mean, which forgets their order, or transformer, an encoder "
        "with position embeddings and a class token.",
        choices=("mean", "transformer"),
    )
    layers: int = setting(6, "Layers of the transformer.", low=1, high=64)
    heads: int = setting(8, "Attention heads of the transformer; a divisor of the number of features.", low=1, high=256)
