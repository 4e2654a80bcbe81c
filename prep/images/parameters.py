"""What `resize` lets its user choose, and the ranges of it."""

from dataclasses import dataclass
from enum import StrEnum

from PIL import features

from in21k.prep.errors import PrepError
from in21k.shards_manifest.manifest import ImageFormat, ResizeMode


class Filter(StrEnum):
    """Resampling filters, all antialiased."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


class OnWarning(StrEnum):
    """What becomes of a JPEG that libjpeg decodes with a warning, such as one damaged in the middle."""

    KEEP = "keep"
    REJECT = "reject"


@dataclass(frozen=True)
class ResizeParameters:
    """What `resize` lets its user choose."""

    size: int = 224
    """Side of the images, in pixels."""
    quality: int = 95
    """Of the JPEG or WebP, 1 to 100."""
    filter: Filter = Filter.BICUBIC
    mode: ResizeMode = ResizeMode.SQUISH
    format: ImageFormat = ImageFormat.JPEG
    on_warning: OnWarning = OnWarning.KEEP
    compat: str = ""
    """`reference`: the authors' pixels (OpenCV bilinear without antialiasing, small images copied); empty: ours."""
    max_pixels: int = 128_000_000
    """Images with more pixels than this are refused before they are decoded."""

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise PrepError(f"--size {self.size}: give 8 to 4096 pixels")
        if not 1 <= self.quality <= 100:
            raise PrepError(f"--quality {self.quality}: give 1 to 100")
        if self.compat and (self.mode is not ResizeMode.SQUISH or self.format is not ImageFormat.JPEG):
            raise PrepError(f"--compat {self.compat} squishes and writes JPEGs; leave --mode and --format out")
        if self.format is ImageFormat.WEBP and not features.check("webp"):
            raise PrepError("--format webp: PIL was built without WebP here; install libwebp-dev and build it again")
