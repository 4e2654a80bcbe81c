"""One image: bytes from the dump in, an RGB image of the requested size out, or why it is rejected."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import PIL
import simplejpeg
from PIL import Image, features

from in21k.prep.images.encode import encode_jpeg
from in21k.prep.images.fingerprint import Sketch, sketch
from in21k.prep.images.parameters import Filter, OnWarning, ResizeParameters
from in21k.shards_manifest.images.decode import decode
from in21k.shards_manifest.images.faults import DecoderGuard, ImageError, ImageFault
from in21k.shards_manifest.images.gzipped import unpacked
from in21k.shards_manifest.images.limits import MEMORY, Limits
from in21k.shards_manifest.images.webp import webp_writer, write_webp
from in21k.shards_manifest.manifest import ImageFormat, ResizeMode

_LARGE = 1 << 25
"""Pixels of a resized image from which its middle is computed alone."""

_LONGEST = {ImageFormat.JPEG: 65_500, ImageFormat.WEBP: 16_383}
"""The longest side that libjpeg and libwebp write."""


@dataclass(frozen=True, slots=True)
class Resized:
    """A resized image."""

    data: bytes
    """A JPEG or WebP."""
    warned: bool
    """Whether libjpeg decoded over damage."""
    sketch: Sketch
    """Of the image as it was, whole even where only its middle is kept."""


def resize_image(data: bytes, parameters: ResizeParameters, memory: int = MEMORY) -> Resized:
    """Return an image of any format and size as the parameters ask for it: RGB, upright, 4:2:0.

    A color JPEG that already has the size is kept byte for byte. An image that was gzipped is unpacked first.

    Args:
        data: the image's bytes.
        parameters: the user's choices.
        memory: bytes that its pixels may take.

    Raises:
        ImageError: the bytes cannot be decoded or resized within the limits, or decode with a warning where the
            parameters reject that.
        PrepError: `compat` needs a package that is not installed.
    """
    data, limits = unpacked(data), parameters.limits(memory)
    if parameters.compat:
        from in21k.prep.images.reference_pixels import resize_as_reference

        resized, pixels = resize_as_reference(data, parameters, limits)
        return Resized(resized, warned=False, sketch=sketch(data, pixels))
    picture = decode(data, limits)
    if picture.warning and parameters.on_warning is OnWarning.REJECT:
        raise ImageError(ImageFault.DAMAGED, picture.warning)
    size = _target(picture.pixels.size, parameters)
    crop = (parameters.size, parameters.size) if parameters.mode is ResizeMode.CENTER_CROP else size
    if picture.is_plain and picture.pixels.size == size == crop and parameters.format is ImageFormat.JPEG:
        return Resized(data, warned=False, sketch=sketch(data, picture.pixels))
    _check_sides(picture.pixels.size, crop, parameters.format)
    encode = encode_jpeg if parameters.format is ImageFormat.JPEG else write_webp
    with DecoderGuard(data):
        fitted, whole = _fitted(picture.pixels, size, crop, parameters.filter, limits)
        found = sketch(data, whole)
        return Resized(encode(fitted, parameters.quality), warned=bool(picture.warning), sketch=found)


def _fitted(
    image: Image.Image, size: tuple[int, int], crop: tuple[int, int], chosen: Filter, limits: Limits
) -> tuple[Image.Image, Image.Image]:
    """Return an image resized to a size, of which the middle is kept; and the whole, as small as there is one.

    Where the resized image would be large, its middle alone is computed; elsewhere the whole is, because the middle
    alone is rounded otherwise in a few of its pixels.
    """
    resampling = Image.Resampling[chosen.name]
    left, top = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2
    if crop != size and size[0] * size[1] > _LARGE:
        across, down = image.width / size[0], image.height / size[1]
        limits.check_resized(image.size, crop)
        box = (left * across, top * down, (left + crop[0]) * across, (top + crop[1]) * down)
        return image.resize(crop, resampling, box), image
    limits.check_resized(image.size, size)
    fitted = image.resize(size, resampling)
    return fitted if crop == size else fitted.crop((left, top, left + crop[0], top + crop[1])), fitted


def _check_sides(size: tuple[int, int], target: tuple[int, int], written: ImageFormat) -> None:
    """Check that the format holds an image of the target's sides.

    Raises:
        ImageError: it does not.
    """
    if max(target) > (longest := _LONGEST[written]):
        detail = f"{size[0]} × {size[1]} pixels, {target[0]} × {target[1]} resized"
        raise ImageError(
            ImageFault.TOO_MANY_PIXELS, f"{detail}: a {written.value.upper()} has at most {longest:,} per side"
        )


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
