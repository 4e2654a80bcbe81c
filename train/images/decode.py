"""A prepared dataset's image into a row of a batch."""

import numpy as np
from PIL import Image

from in21k.shards_manifest.images.decode import Pixels, decode_strictly
from in21k.shards_manifest.images.limits import Limits

LIMITS = Limits(pixels=1 << 26, memory=1 << 29)
"""Larger images are skipped by their header: a dataset of 224-pixel squares has none."""

CENTER = (0.5, 0.5)
"""A crop from the center."""


def decode_into(
    content: memoryview | bytes | Pixels,
    row: Pixels,
    crop: tuple[float, float] | None = None,
    *,
    scaled: bool = False,
) -> None:
    """Decode an image to RGB into a row.

    An image of another size is squished to the row's, antialiased, or a square of its short side is cropped before. A
    JPEG that libjpeg warns about is not decoded: those of a prepared dataset have no fault until their bytes change.

    Args:
        content: an image file's bytes, or pixels, uint8 [H, W, 3].
        row: uint8 [H, W, 3], contiguous.
        crop: where to crop a square, vertically and horizontally from 0 to 1; None squishes.
        scaled: decode a JPEG at a scale of 1 to 7 eighths where that brings its short side to the row's.

    Raises:
        ImageError: it cannot be decoded; the row is then undefined.
    """
    pixels = content if isinstance(content, np.ndarray) else decode_strictly(content, LIMITS, row, scaled=scaled)
    if pixels is not row:
        fit_into(pixels, row, crop)


def fit_into(pixels: Pixels, row: Pixels, crop: tuple[float, float] | None) -> None:
    """Crop a square out of an image where asked to, and resize it into the row.

    Raises:
        ImageError: it is so narrow that resizing it would take more memory than the limits allow.
    """
    height, width = pixels.shape[:2]
    if crop is not None:
        side = min(height, width)
        top, left = (int(at * (room - side + 1)) for at, room in zip(crop, (height, width), strict=True))
        pixels = pixels[top : top + side, left : left + side]
    if pixels.shape == row.shape:
        row[:] = pixels
        return
    size = (row.shape[1], row.shape[0])
    LIMITS.check_resized((pixels.shape[1], pixels.shape[0]), size)
    row[:] = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
