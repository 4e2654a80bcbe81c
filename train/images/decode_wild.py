"""Images as they are found: turned upright by their EXIF orientation, and decoded where libjpeg only warns."""

from contextlib import suppress

import numpy as np

from in21k.shards_manifest.images import decode
from in21k.shards_manifest.images.decode import Pixels
from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.shards_manifest.images.jpeg import START_OF_IMAGE, orientation
from in21k.train.images.crops import Crop
from in21k.train.images.decode import LIMITS, decode_into, fit_into


def read_pixels(content: bytes | memoryview) -> Pixels:
    """Return an image file's pixels, uint8 [H, W, 3], upright.

    Raises:
        ImageError: the bytes cannot be decoded, or have too many pixels.
    """
    try:
        return decode.read_pixels(content, LIMITS)
    except ImageError as error:
        if error.fault is ImageFault.TOO_MANY_PIXELS:
            detail = f"{error.detail}; images of up to {LIMITS.pixels >> 20} million pixels are read"
            raise ImageError(error.fault, detail) from error
        raise


def decode_wild(
    content: memoryview | bytes | Pixels,
    row: Pixels,
    crop: Crop | None = None,
    *,
    downscale: str = "",
    interpolation: str = "bicubic",
) -> None:
    """Decode an image to RGB into a row, as `decode_into` does.

    Args:
        content: an image file's bytes, or pixels, uint8 [H, W, 3].
        row: uint8 [H, W, 3], contiguous.
        crop: what to cut out before, of the upright image; None squishes.
        downscale: as for `decode_into`; libjpeg scales JPEGs that are upright and without fault.
        interpolation: as for `decode_into`.

    Raises:
        ImageError: it cannot be decoded; the row is then undefined.
    """
    if isinstance(content, np.ndarray):
        fit_into(content, row, crop, downscale=downscale, interpolation=interpolation)
        return
    # The strict decoder is the faster one, and turns nothing: it takes the JPEGs that are upright and without fault.
    if content[:2] == START_OF_IMAGE and orientation(content) == 1:
        with suppress(ImageError):
            decode_into(content, row, crop, downscale=downscale, interpolation=interpolation)
            return
    fit_into(read_pixels(content), row, crop, downscale=downscale, interpolation=interpolation)
