"""What users of `resize` can choose, and the valid ranges."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from in21k.prep.errors import PrepError
from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.manifest import ImageFormat, ResizeMode

DEFAULT_MEMORY = 600 << 20
"""Bytes that a worker may use."""


class Filter(StrEnum):
    """Resampling filters, all antialiased."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


class OnWarning(StrEnum):
    """What to do with a JPEG that libjpeg decodes with a warning, such as one damaged in the middle."""

    KEEP = "keep"
    REJECT = "reject"


@dataclass(frozen=True)
class ResizeParameters:
    """What users of `resize` can choose."""

    size: int = 224
    """Side of the images, in pixels."""
    quality: int = 95
    """JPEG or WebP quality, 1 to 100."""
    filter: Filter = Filter.BICUBIC
    mode: ResizeMode = ResizeMode.SQUISH
    format: ImageFormat = ImageFormat.JPEG
    on_warning: OnWarning = OnWarning.KEEP
    compat: str = ""
    """`reference` for the authors' pixels (OpenCV, bilinear, not antialiased; small images copied), empty for ours."""
    max_pixels: int = 128_000_000
    """Images with more pixels than this are rejected before they are decoded."""
    min_side: int = 0
    """Images with a side of fewer pixels than this are, too."""

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise PrepError(f"--size {self.size}: give 8 to 4096 pixels")
        if not 1 <= self.quality <= 100:
            raise PrepError(f"--quality {self.quality}: give 1 to 100")
        if self.compat and (self.mode is not ResizeMode.SQUISH or self.format is not ImageFormat.JPEG):
            raise PrepError(f"--compat {self.compat} squishes and writes JPEGs; leave --mode and --format out")
        if self.compat and (self.filter is not Filter.BICUBIC or self.on_warning is not OnWarning.KEEP):
            raise PrepError(
                f"--compat {self.compat} resizes and decodes as OpenCV does; leave --filter and --on-warning out"
            )
        if self.format is ImageFormat.WEBP and not _writes_webp():
            raise PrepError(
                "--format webp: neither Pillow nor OpenCV writes WebP here; pip install 'in21k[reference]' for OpenCV"
            )

    def limits(self, memory: int) -> Limits:
        """Return how large an image may be where its pixels may take so many bytes of memory."""
        return Limits(pixels=self.max_pixels, memory=memory, min_side=self.min_side)

    def recorded(self) -> dict[str, Any]:
        """Return what the stage's record stores: without `min_side` where it is 0, as before there was one."""
        return {name: value for name, value in asdict(self).items() if name != "min_side" or value}


def _writes_webp() -> bool:
    from in21k.shards_manifest.images.webp import webp_writer

    return webp_writer() != "none"
