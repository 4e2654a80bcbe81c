"""Image bytes of any format to pixels: tolerantly as images are found, strictly as a prepared dataset holds them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from in21k.shards_manifest.images.faults import DecoderGuard, not_an_image
from in21k.shards_manifest.images.formats import JPEG, WEBP, Codec, recognize
from in21k.shards_manifest.images.gzipped import unpacked
from in21k.shards_manifest.images.jpeg import START_OF_IMAGE, examine_jpeg, read_rgb, read_rgbx
from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.images.pillow import pixels_of, read_with_pillow, to_rgb, upright
from in21k.shards_manifest.images.webp import read_webp, webp_header

Pixels = npt.NDArray[np.uint8]
"""RGB, 0 to 255: [H, W, 3] for an image, [B, H, W, 3] for a batch."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image."""

    pixels: Image.Image
    """Upright, of mode RGB or RGBX; one of mode RGBX lies in a buffer that the next call overwrites."""
    is_plain: bool
    """Whether it came from a color JPEG without a fault: its bytes may serve as they are."""
    warning: str = ""
    """What libjpeg said of damage that it decoded over; empty where it said nothing."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What decoding an image showed."""

    width: int
    height: int
    format: str
    """The name of its Codec."""
    is_rgb: bool
    """Whether it has three color channels of 8 bits and no transparency."""


def decode(data: bytes, limits: Limits) -> Picture:
    """Return the picture that image bytes hold, as tolerantly as libjpeg decodes: over damage, with a warning.

    Plain JPEGs are decoded by simplejpeg, bit for bit as Pillow would; what it refuses goes to Pillow.

    Args:
        data: an image file's bytes.
        limits: a picture that exceeds them is refused by its header.

    Raises:
        ImageError: the bytes are not a picture.
    """
    warning = ""
    with DecoderGuard(data):
        if data.startswith(START_OF_IMAGE):
            try:
                plain = read_rgbx(data, limits)
            except ValueError as error:
                warning = str(error)
            else:
                if plain is not None:
                    return Picture(plain[0], is_plain=plain[1])
        codec = _recognized(data)
        if codec is WEBP:
            return Picture(Image.fromarray(read_webp(data, limits)), is_plain=False)
        image = read_with_pillow(data, codec, limits)
        return Picture(to_rgb(upright(image, limits)), is_plain=False, warning=warning)


def read_pixels(data: bytes | memoryview, limits: Limits) -> Pixels:
    """Return an image's pixels, uint8 [H, W, 3], upright and tolerantly decoded as by `decode`, also out of a gzip.

    Raises:
        ImageError: the bytes are not a picture.
    """
    picture = decode(unpacked(bytes(data)), limits)
    with DecoderGuard(data):
        return pixels_of(picture.pixels)


def decode_strictly(data: bytes | memoryview, limits: Limits, row: Pixels, *, eighths: int = 0) -> Pixels:
    """Return an image's pixels, uint8 [H, W, 3], not turned; in `row` where they have its shape.

    A JPEG that libjpeg warns about is refused: those of a prepared dataset have no fault until their bytes change.

    Args:
        data: an image file's bytes.
        limits: a picture that exceeds them is refused by its header.
        row: uint8 [H, W, 3], contiguous. Pixels of another shape may lie in a buffer that the next call overwrites.
        eighths: decode a JPEG at a scale of 1 to so many eighths, 7 at most, where that brings its short side to the
            row's.

    Raises:
        ImageError: the bytes are not a picture, or libjpeg warns about them.
    """
    with DecoderGuard(data):
        if data[:2] == START_OF_IMAGE and (pixels := read_rgb(data, limits, row, eighths=eighths)) is not None:
            return pixels
        codec = _recognized(data)
        if codec is WEBP:
            return read_webp(data, limits)
        return pixels_of(to_rgb(read_with_pillow(data, codec, limits)))


def examine(data: bytes, limits: Limits, *, as_found: bool = False) -> ImageFacts:
    """Return what decoding an image shows, strictly.

    Args:
        data: an image file's bytes.
        limits: a picture that exceeds them is refused by its header.
        as_found: whether JPEGs of CMYK, or that libjpeg warns about, count as images.

    Raises:
        ImageError: the bytes are not a picture.
    """
    with DecoderGuard(data):
        codec = _recognized(data)
        if codec is JPEG:
            try:
                return _facts(codec, *examine_jpeg(data, limits))
            except ValueError:
                if not as_found:
                    raise
        if codec is WEBP:
            read_webp(data, limits)
            width, height, has_alpha = webp_header(data)
            return _facts(codec, width, height, not has_alpha)
        image = read_with_pillow(data, codec, limits)
        return _facts(codec, image.width, image.height, image.mode == "RGB")


def _facts(codec: Codec, width: int, height: int, is_rgb: bool) -> ImageFacts:
    return ImageFacts(width=width, height=height, format=codec.name, is_rgb=is_rgb)


def _recognized(data: bytes | memoryview) -> Codec:
    codec = recognize(data)
    if codec is None:
        raise not_an_image(data)
    return codec
