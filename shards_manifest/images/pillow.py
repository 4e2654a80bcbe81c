"""Pictures through Pillow: one plugin at a time, the size checked first, 16 bits and transparency to plain RGB."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, PngImagePlugin

from in21k.shards_manifest.images.faults import ImageError, not_an_image
from in21k.shards_manifest.images.formats import JPEG, JPEG_2000, TIFF, Codec, pillow_reads
from in21k.shards_manifest.images.limits import BYTES_PER_PIXEL, Limits
from in21k.shards_manifest.images.scans import check_scans

_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""By mode; Pillow holds the pixels of all others in 4 bytes."""

_THROUGH_GRAY = frozenset({"F", "I", "I;16", "I;16B", "I;16L", "I;16N"})
"""Modes that become L before they become RGB."""

_AT_ONCE = 1 << 20
"""Pixels that are converted at a time, because copies of all of them would take much memory."""

_OPENJPEG_SAMPLE = 4
"""Bytes of a sample while OpenJPEG decodes it."""

_EXIF_TAG_ORIENTATION = 0x0112
_BITS_PER_SAMPLE, _TILE_WIDTH, _TILE_LENGTH = 258, 322, 323
"""TIFF tags."""


def read_with_pillow(data: bytes | memoryview, codec: Codec, limits: Limits) -> Image.Image:
    """Return a picture, or an animation's first frame, in its own mode and not turned.

    Raises:
        ImageError: Pillow does not read this format here, or the picture is larger than the limits.
        Exception: whatever else the plugin raises.
    """
    if not pillow_reads(codec):
        raise not_an_image(data, f"this build of Pillow does not read {codec.name.upper()}")
    image = Image.open(io.BytesIO(data), formats=(codec.name.upper(),))
    _check_size(data, image, codec, limits)
    image.load()
    return image


def upright(image: Image.Image, limits: Limits) -> Image.Image:
    """Return an image turned as its EXIF orientation says; as it is where its EXIF cannot be read.

    Raises:
        ImageError: it must be turned, and both do not fit into the memory of the limits.
    """
    try:
        if image.getexif().get(_EXIF_TAG_ORIENTATION, 1) == 1:
            return image
        limits.check(image.width, image.height, 2 * _bytes_per_pixel(image))
        return ImageOps.exif_transpose(image)
    except (MemoryError, ImageError):
        raise
    except Exception:
        return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image in mode RGB: 16-bit samples scaled, transparency dropped, as OpenCV and torchvision do."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def pixels_of(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return an image's pixels, uint8 [H, W, 3]."""
    if image.width * image.height <= _AT_ONCE:
        return np.asarray(image.convert("RGB"))
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for box in _bands(image):
        pixels[box[1] : box[3]] = np.asarray(image.crop(box).convert("RGB"))
    return pixels


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return the high bytes of 16-bit samples, of mode L."""
    scaled = Image.new("L", image.size)
    for box in _bands(image):
        samples = np.asarray(image.crop(box))
        scaled.paste(Image.fromarray((samples.clip(0, 65535) >> 8).astype(np.uint8)), box)
    return scaled


def _bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes of whole rows that cover an image, with about `_AT_ONCE` pixels each."""
    rows = max(1, _AT_ONCE // max(1, image.width))
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _check_size(data: bytes | memoryview, image: Image.Image, codec: Codec, limits: Limits) -> None:
    """Check a picture of which Pillow has read the header alone."""
    needed = _bytes_per_pixel(image)
    decoding = needed + _OPENJPEG_SAMPLE * len(image.getbands()) if codec is JPEG_2000 else needed
    if image.mode != "RGB":
        needed += BYTES_PER_PIXEL + (image.mode in _THROUGH_GRAY)
    tags: Any = getattr(image, "tag_v2", {}) if codec is TIFF else {}
    needed = max(needed, decoding, sum(tags.get(_BITS_PER_SAMPLE, ())) // 8)
    if codec is JPEG:
        check_scans(data, image.width, image.height, needed, limits)
    limits.check(image.width, image.height, needed)
    if _TILE_WIDTH in tags:  # libtiff decodes whole tiles, however little of them the picture takes
        tile = Limits(pixels=limits.memory, memory=limits.memory)
        tile.check(tags[_TILE_WIDTH], tags[_TILE_LENGTH], needed)


def _bytes_per_pixel(image: Image.Image) -> int:
    return _BYTES_PER_PIXEL.get(image.mode, BYTES_PER_PIXEL)


Image.MAX_IMAGE_PIXELS = None  # Limits are checked instead, for every format
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20
"""Bytes that a PNG's profile or comment may unpack to: Pillow's own limit of 1 MiB loses pictures with large ones."""
