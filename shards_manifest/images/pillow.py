"""Pictures through Pillow: one plugin at a time, the size checked first, 16 bits and transparency to plain RGB."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from in21k.shards_manifest.images.faults import not_an_image
from in21k.shards_manifest.images.formats import JPEG_2000, TIFF, Codec, pillow_reads
from in21k.shards_manifest.images.limits import Limits

_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""By mode; Pillow holds the pixels of all others in 4 bytes."""

_OPENJPEG_SAMPLE = 4
"""Bytes of a sample while OpenJPEG decodes it."""

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
    _check_size(image, codec, limits)
    image.load()
    return image


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned as its EXIF orientation says; as it is where its EXIF cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:
        return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image in mode RGB: 16-bit samples scaled, transparency dropped, as OpenCV and torchvision do."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        samples = np.asarray(image)
        image = Image.fromarray((samples.clip(0, 65535) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _check_size(image: Image.Image, codec: Codec, limits: Limits) -> None:
    """Check a picture of which Pillow has read the header alone."""
    bytes_per_pixel = _BYTES_PER_PIXEL.get(image.mode, 4)
    if codec is JPEG_2000:
        bytes_per_pixel += _OPENJPEG_SAMPLE * len(image.getbands())
    tags: Any = getattr(image, "tag_v2", {}) if codec is TIFF else {}
    bytes_per_pixel = max(bytes_per_pixel, sum(tags.get(_BITS_PER_SAMPLE, ())) // 8)
    limits.check(image.width, image.height, bytes_per_pixel)
    if _TILE_WIDTH in tags:  # libtiff decodes whole tiles, however little of them the picture takes
        tile = Limits(pixels=limits.memory, memory=limits.memory)
        tile.check(tags[_TILE_WIDTH], tags[_TILE_LENGTH], bytes_per_pixel)


Image.MAX_IMAGE_PIXELS = None  # Limits are checked instead, for every format
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20
"""Bytes that a PNG's profile or comment may unpack to: Pillow's own limit of 1 MiB loses pictures with large ones."""
