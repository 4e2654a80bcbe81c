"""One image: bytes as they lie in the dump in, an RGB image of the wanted size out, or the reason why not."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import PIL
import simplejpeg
from PIL import Image, features

from in21k.prep.decoding import ImageRejectedError, decode
from in21k.prep.encoding import encode_jpeg, encode_webp
from in21k.prep.errors import PrepError
from in21k.prep.records import Reason


class Filter(StrEnum):
    """Resampling filters, all antialiased."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


class Mode(StrEnum):
    """How an image of any shape comes to its size."""

    SQUISH = "squish"
    """size × size, whatever the shape was: the paper's."""
    SHORT_EDGE = "short-edge"
    """The short side becomes size, the shape is kept."""
    CENTER_CROP = "center-crop"
    """The short side becomes size, and size × size are cut from the middle."""


class Format(StrEnum):
    """How images are encoded."""

    JPEG = "jpeg"
    WEBP = "webp"


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
    mode: Mode = Mode.SQUISH
    format: Format = Format.JPEG
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
        if self.compat and (self.mode is not Mode.SQUISH or self.format is not Format.JPEG):
            raise PrepError(f"--compat {self.compat} squishes and writes JPEGs; leave --mode and --format out")
        if self.format is Format.WEBP and not features.check("webp"):
            raise PrepError("--format webp: PIL was built without WebP here; install libwebp-dev and build it again")


@dataclass(frozen=True, slots=True)
class Resized:
    """A resized image."""

    data: bytes
    """A JPEG or WebP."""
    warned: bool
    """Whether libjpeg decoded over damage."""


def resize_image(data: bytes, parameters: ResizeParameters) -> Resized:
    """Return an image of any kind and size as the parameters want it: RGB, upright, 4:2:0.

    A color JPEG that has the size already is kept byte for byte.

    Raises:
        ImageRejectedError: the bytes are no image, are cut short, decode to too many pixels, or, where the parameters
            say so, decode with a warning.
        PrepError: `compat` needs a package that is not installed.
    """
    if parameters.compat:
        from in21k.prep.compat import resize_as_reference

        return Resized(resize_as_reference(data, parameters), warned=False)
    picture = decode(data, parameters.max_pixels)
    if picture.warning and parameters.on_warning is OnWarning.REJECT:
        raise ImageRejectedError(Reason.DAMAGED, picture.warning)
    size = _target(picture.pixels.size, parameters)
    crop = (parameters.size, parameters.size) if parameters.mode is Mode.CENTER_CROP else size
    if picture.is_plain and picture.pixels.size == size == crop and parameters.format is Format.JPEG:
        return Resized(data, warned=False)
    fitted = picture.pixels.resize(size, Image.Resampling[parameters.filter.name])
    if crop != size:
        left, top = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2
        fitted = fitted.crop((left, top, left + crop[0], top + crop[1]))
    encode = encode_jpeg if parameters.format is Format.JPEG else encode_webp
    return Resized(encode(fitted, parameters.quality), warned=bool(picture.warning))


@cache
def decoder_versions() -> Mapping[str, str]:
    """Return the versions of what decides the bytes: the imaging package with its libraries, and simplejpeg."""
    package = "pillow-simd" if is_simd() else "pillow"
    libjpeg = features.version("libjpeg_turbo") or features.version("jpg") or "unknown"
    return {
        package: PIL.__version__,
        "libjpeg-turbo": str(libjpeg),
        "libwebp": str(features.version("webp") or "none"),
        "simplejpeg": simplejpeg.__version__,
    }


def is_simd() -> bool:
    """Return whether the PIL package is pillow-simd's."""
    return ".post" in PIL.__version__


def _target(size: tuple[int, int], parameters: ResizeParameters) -> tuple[int, int]:
    """Return the width and height that an image is resized to, before any crop."""
    side = parameters.size
    if parameters.mode is Mode.SQUISH:
        return side, side
    width, height = size
    short = min(width, height)
    return max(side, round(width * side / short)), max(side, round(height * side / short))
