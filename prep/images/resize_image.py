"""One image: bytes as they lie in the dump in, an RGB image of the wanted size out, or the reason why not."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import PIL
import simplejpeg
from PIL import Image, features

from in21k.prep.images.decode import ImageRejectedError, decode
from in21k.prep.images.encode import encode_jpeg, encode_webp
from in21k.prep.images.parameters import OnWarning, ResizeParameters
from in21k.prep.records import Reason
from in21k.shards_manifest.manifest import ImageFormat, ResizeMode


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
        from in21k.prep.images.reference_pixels import resize_as_reference

        return Resized(resize_as_reference(data, parameters), warned=False)
    picture = decode(data, parameters.max_pixels)
    if picture.warning and parameters.on_warning is OnWarning.REJECT:
        raise ImageRejectedError(Reason.DAMAGED, picture.warning)
    size = _target(picture.pixels.size, parameters)
    crop = (parameters.size, parameters.size) if parameters.mode is ResizeMode.CENTER_CROP else size
    if picture.is_plain and picture.pixels.size == size == crop and parameters.format is ImageFormat.JPEG:
        return Resized(data, warned=False)
    fitted = picture.pixels.resize(size, Image.Resampling[parameters.filter.name])
    if crop != size:
        left, top = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2
        fitted = fitted.crop((left, top, left + crop[0], top + crop[1]))
    encode = encode_jpeg if parameters.format is ImageFormat.JPEG else encode_webp
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
    if parameters.mode is ResizeMode.SQUISH:
        return side, side
    width, height = size
    short = min(width, height)
    return max(side, round(width * side / short)), max(side, round(height * side / short))
