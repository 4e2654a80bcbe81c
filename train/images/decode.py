"""A prepared dataset's image into a row of a batch."""

from types import MappingProxyType

import cv2
import numpy as np
from PIL import Image

from in21k.shards_manifest.images.decode import Pixels, decode_strictly
from in21k.shards_manifest.images.limits import Limits
from in21k.train.images.crops import Crop

LIMITS = Limits(pixels=1 << 26, memory=1 << 29)
"""Larger images are skipped by their header: a dataset of 224-pixel squares has none."""

FILTERS = MappingProxyType({"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR})
"""How an image is resized, by name; always antialiased."""

DOWNSCALES = MappingProxyType({"": 0, "libjpeg": 7, "linear": 4})
"""Up to how many eighths libjpeg scales a JPEG, by the name of how images are made smaller; see `Decoding`."""


def decode_into(
    content: memoryview | bytes | Pixels,
    row: Pixels,
    crop: Crop | None = None,
    *,
    downscale: str = "",
    interpolation: str = "bicubic",
) -> None:
    """Decode an image to RGB into a row.

    An image of another size is squished to the row's, antialiased, or part of it is cropped before. A JPEG that libjpeg
    warns about is not decoded: those of a prepared dataset have no fault until their bytes change.

    Args:
        content: an image file's bytes, or pixels, uint8 [H, W, 3].
        row: uint8 [H, W, 3], contiguous.
        crop: what to cut out before; None squishes.
        downscale: one of `DOWNSCALES`.
        interpolation: one of `FILTERS`.

    Raises:
        ImageError: it cannot be decoded; the row is then undefined.
    """
    eighths = DOWNSCALES[downscale]
    pixels = content if isinstance(content, np.ndarray) else decode_strictly(content, LIMITS, row, eighths=eighths)
    if pixels is not row or crop is not None:
        fit_into(pixels, row, crop, downscale=downscale, interpolation=interpolation)


def fit_into(pixels: Pixels, row: Pixels, crop: Crop | None, *, downscale: str, interpolation: str) -> None:
    """Cut a box out of an image where asked to, and resize it into the row, in which the image may lie.

    Raises:
        ImageError: it is so narrow that resizing it would take more memory than the limits allow.
    """
    if crop is not None:
        top, bottom, left, right = crop.box(*pixels.shape[:2])
        pixels = pixels[top:bottom, left:right]
    if pixels.shape == row.shape:
        row[:] = pixels
        return
    size = (row.shape[1], row.shape[0])
    if downscale == "linear" and _is_between(pixels, row):
        cv2.resize(pixels, size, row, interpolation=cv2.INTER_LINEAR)
        return
    LIMITS.check_resized((pixels.shape[1], pixels.shape[0]), size)
    row[:] = np.asarray(Image.fromarray(pixels).resize(size, FILTERS[interpolation]))


def _is_between(pixels: Pixels, row: Pixels) -> bool:
    """Return whether both sides shrink, to half of what they are or more, where neighboring pixels are all it takes."""
    return all(side <= whole <= 2 * side for side, whole in zip(row.shape[:2], pixels.shape[:2], strict=True))
