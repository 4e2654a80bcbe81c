"""Images with boxes, resized by their short side and mirrored: pixels and boxes together."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from in21k.shards_manifest.images.decode import Pixels
from in21k.train.arrays import FloatArray, IntArray
from in21k.train.images.decode import FILTERS, LIMITS
from in21k.train.images.hashes import below, fractions, hashed

STREAM = 7
"""Of `hashes.py`, for the draws of this file."""

_STEP = 32
"""Between the short sides that are drawn, in pixels."""


@dataclass(frozen=True)
class BoxSizes:
    """How large the images of a detector are, in pixels."""

    side: int
    """The short side in evaluation, and the greatest in training."""
    least: int
    """The least short side in training; 0 for no other than `side`."""
    longest: int
    """The most that the long side may have; a lesser short side makes up for it."""

    @property
    def drawn(self) -> tuple[int, ...]:
        """The short sides in training, ascending."""
        return (*range(self.least, self.side, _STEP), self.side) if self.least else (self.side,)


@dataclass(frozen=True)
class BoxDraws:
    """The random numbers of B images."""

    sides: IntArray
    """int64 [B]: short sides in pixels."""
    is_flipped: npt.NDArray[np.bool_]
    """[B]."""


def draw_boxes(sizes: BoxSizes, flip: float, seed: int, epoch: int, start: int, count: int) -> BoxDraws:
    """Return what is drawn for the images at `count` positions of an epoch's order, from `start` on.

    Args:
        sizes: the sizes to draw from.
        flip: probability of mirroring an image, left for right.
        seed: of the run.
        epoch: not negative.
        start: the first position.
        count: number of positions.
    """
    bits = hashed(seed, epoch, start, count, 2, STREAM)
    sides = np.array(sizes.drawn, np.int64)[below(bits[:, 0], len(sizes.drawn))]
    return BoxDraws(sides, fractions(bits[:, 1]) < flip)


def resized_size(width: int, height: int, side: int, longest: int) -> tuple[int, int]:
    """Return width and height in pixels with a short side of `side`, or less where the long one would be too long."""
    scale = min(side / min(width, height), longest / max(width, height))
    return max(round(width * scale), 1), max(round(height * scale), 1)


def resize_to(pixels: Pixels, size: tuple[int, int], interpolation: str) -> Pixels:
    """Return an image, uint8 [H, W, 3], at another width and height, as `resize_boxed` does."""
    whole = (pixels.shape[1], pixels.shape[0])
    if whole == size:
        return pixels
    LIMITS.check_resized(whole, size)
    return np.asarray(Image.fromarray(pixels).resize(size, FILTERS[interpolation]))


def resize_boxed(
    pixels: Pixels, boxes: FloatArray, size: tuple[int, int], interpolation: str, *, flip: bool = False
) -> tuple[Pixels, FloatArray]:
    """Return an image and its boxes at another size, mirrored or not.

    Args:
        pixels: uint8 [H, W, 3].
        boxes: float64 [K, 4] of left, top, right and bottom in pixels.
        size: width and height.
        interpolation: bicubic or bilinear, both antialiased.
        flip: mirror them, left for right.

    Raises:
        ImageError: the image is so narrow that resizing it would take more memory than the limits allow.
    """
    height, width = pixels.shape[:2]
    pixels = resize_to(pixels, size, interpolation)
    boxes = boxes * np.array([size[0] / width, size[1] / height] * 2)
    if not flip:
        return pixels, boxes
    mirrored = boxes.copy()
    mirrored[:, 0], mirrored[:, 2] = size[0] - boxes[:, 2], size[0] - boxes[:, 0]
    return pixels[:, ::-1], mirrored
