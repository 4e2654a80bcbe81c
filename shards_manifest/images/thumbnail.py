"""Thumbnails for pages: how many of which side a number of bytes allows, and an image as one."""

import io

from PIL import Image

QUALITY = 72

SMALLEST, LARGEST = 48, 224
_PLANS = (
    (12, LARGEST),
    (8, LARGEST),
    (8, 160),
    (8, 112),
    (8, 80),
    (6, 80),
    (4, 80),
    (3, 64),
    (2, 64),
    (2, SMALLEST),
)
"""Thumbnails per class and their side, the best plan first."""


def thumbnail_plan(classes: int, budget: int, stored: int) -> tuple[int, int]:
    """Return the thumbnails per class and their side in pixels that use about the budget.

    Args:
        classes: C.
        budget: bytes of all of them.
        stored: the side of the images; larger thumbnails than these show nothing more.
    """
    for per_class, side in _PLANS:
        side = max(SMALLEST, min(side, stored))
        if classes * per_class * typical_bytes(side) <= budget:
            return per_class, side
    return 1, SMALLEST


def thumbnail_count(classes: int, budget: int, stored: int) -> tuple[int, int]:
    """Return how many thumbnails of one side a budget allows, whatever their classes, and that side.

    Args:
        classes: that have thumbnails; more of them make the side smaller.
        budget: bytes of all of them.
        stored: the side of the images.
    """
    _, side = thumbnail_plan(classes, budget, stored)
    return budget // typical_bytes(side) + 1, side


def typical_bytes(side: int) -> int:
    """Return roughly how many bytes a thumbnail takes."""
    return 450 + side * side // 4


def square_jpeg(image: Image.Image, side: int) -> bytes:
    """Return the middle square of an image, resized to side × side pixels, as a JPEG."""
    edge, encoded = min(image.size), io.BytesIO()
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    square = image.resize((side, side), Image.Resampling.BICUBIC, (left, top, left + edge, top + edge))
    square.save(encoded, "JPEG", quality=QUALITY, optimize=True)
    return encoded.getvalue()
