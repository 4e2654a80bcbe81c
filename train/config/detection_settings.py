"""The settings of detectors: what they have on their backbone, and how large their images are."""

from dataclasses import dataclass

from in21k.train.config.fields import setting
from in21k.train.config.sizes import MAX_SIDE

NO_HEAD = "none"
"""The head of a classifier."""


@dataclass(frozen=True)
class DetectionConfig:
    """Detectors: boxes instead of classes."""

    head: str = setting(
        NO_HEAD,
        "What a detector has on its backbone: torchvision's retinanet or faster-rcnn; none for a classifier.",
        choices=(NO_HEAD, "retinanet", "faster-rcnn"),
    )
    width: int = setting(
        256,
        "Channels of the maps between backbone and head; fewer make a smaller and faster detector.",
        low=8,
        high=4096,
    )
    least_side: int = setting(
        0,
        "The least short side of a training image in pixels: it is drawn in steps of 32 up to data.image_size; 0 "
        "always takes data.image_size.",
        low=0,
        high=MAX_SIDE,
    )
    longest_side: int = setting(
        1333,
        "The most that the long side of an image may have in pixels, in training and evaluation; the image is made "
        "smaller for that.",
        low=32,
        high=MAX_SIDE,
    )
    frozen_norm: bool = setting(
        True, "Keep the statistics, scales and shifts of the backbone's batch norm as its weights have them."
    )
    empty_images: bool = setting(False, "Train on images without any box, too.")
