"""One image: bytes from the dump in, an RGB image of the requested size out, or why it is rejected."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import PIL
import simplejpeg
from PIL import Image, features

from in21k.prep.images.encode import encode_jpeg
from in21k.prep.images.parameters import OnWarning, ResizeParameters
from in21k.shards_manifest.images.decode import decode
from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.shards_manifest.images.gzipped import unpacked
from in21k.shards_manifest.images.webp import webp_writer, write_webp
from in21k.shards_manifest.manifest import ImageFormat, ResizeMode


@dataclass(frozen=True, slots=True)
class Resized:
    """A resized image."""

    data: bytes
    """A JPEG or WebP."""
    warned: bool
    """Whether libjpeg decoded over damage."""


def resize_image(data: bytes, parameters: ResizeParameters) -> Resized:
    """Return an image of any format and size as the parameters ask for it: RGB, upright, 4:2:0.

    A color JPEG that already has the size is kept byte for byte. An image that was gzipped is unpacked first.

    Raises:
        ImageError: the bytes cannot be decoded within the limits, or decode with a warning where the parameters
            reject that.
        PrepError: `compat` needs a package that is not installed.
    """
    data = unpacked(data)
    if parameters.compat:
        from in21k.prep.images.reference_pixels import resize_as_reference

        return Resized(resize_as_reference(data, parameters), warned=False)
    picture = decode(data, parameters.limits)
    if picture.warning and parameters.on_warning is OnWarning.REJECT:
        raise ImageError(ImageFault.DAMAGED, picture.warning)
    size = _target(picture.pixels.size, parameters)
    crop = (parameters.size, parameters.size) if parameters.mode is ResizeMode.CENTER_CROP else size
    if picture.is_plain and picture.pixels.size == size == crop and parameters.format is ImageFormat.JPEG:
        return Resized(data, warned=False)
    fitted = picture.pixels.resize(size, Image.Resampling[parameters.filter.name])
    if crop != size:
        left, top = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2
        fitted = fitted.crop((left, top, left + crop[0], top + crop[1]))
    encode = encode_jpeg if parameters.format is ImageFormat.JPEG else write_webp
    return Resized(encode(fitted, parameters.quality), warned=bool(picture.warning))


@cache
def decoder_versions(written: ImageFormat) -> Mapping[str, str]:
    """Return the versions of what determines the bytes: the imaging package with its libraries, and simplejpeg.

    Args:
        written: the format of the images. Only where it is WebP may OpenCV stand for a libwebp that Pillow lacks:
            whatever reads WebP gives the same pixels.
    """
    package = "pillow-simd" if is_simd() else "pillow"
    libjpeg = features.version("libjpeg_turbo") or features.version("jpg") or "unknown"
    return {
        package: PIL.__version__,
        "libjpeg-turbo": str(libjpeg),
        "libwebp": webp_writer() if written is ImageFormat.WEBP else str(features.version("webp") or "none"),
        "simplejpeg": simplejpeg.__version__,
    }


def is_simd() -> bool:
    """Return whether the installed PIL is pillow-simd's."""
    return ".post" in PIL.__version__


def _target(size: tuple[int, int], parameters: ResizeParameters) -> tuple[int, int]:
    """Return the width and height to resize to, before any crop."""
    side = parameters.size
    if parameters.mode is ResizeMode.SQUISH:
        return side, side
    width, height = size
    short = min(width, height)
    return max(side, round(width * side / short)), max(side, round(height * side / short))
