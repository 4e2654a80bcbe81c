"""What is cut out of an image before it is resized: a square of its short side, or a box of random area and ratio."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from in21k.train.images.boxes import PER_TRY, TRIES, Box, Range, first_that_fits
from in21k.train.images.hashes import fractions, hashed

_SQUARES, _RESIZED = 1, 3
"""The streams of random numbers."""


class Crop(Protocol):
    """What is cut out of an image."""

    def box(self, height: int, width: int) -> Box:
        """Return the box that is cut out of an image of this size."""


@dataclass(frozen=True)
class SquareCrop:
    """A square of the image's short side."""

    y: float
    """Where it lies along the image's height, as a share of the room to move, below 1."""
    x: float
    """Likewise along its width."""

    def box(self, height: int, width: int) -> Box:
        """Return the box that is cut out of an image of this size."""
        side = min(height, width)
        top, left = int(self.y * (height - side + 1)), int(self.x * (width - side + 1))
        return top, top + side, left, left + side


CENTER = SquareCrop(0.5, 0.5)


@dataclass(frozen=True, eq=False)
class ResizedCrop:
    """A box of random area and ratio, as of torchvision's RandomResizedCrop (arXiv 1409.4842, section 6).

    Where none of ten boxes fits, it is the whole image, or its center if the image is too wide or too tall for the
    ratios.
    """

    tries: npt.NDArray[np.float64]
    """float64 [TRIES, 4], from 0 to 1."""
    areas: Range
    """Shares of the image's area."""
    ratios: Range
    """Of width to height."""

    def box(self, height: int, width: int) -> Box:
        """Return the box that is cut out of an image of this size."""
        found = first_that_fits(self.tries, self.areas, self.ratios, height, width)
        return found or _center(self.ratios, height, width)


def _center(ratios: Range, height: int, width: int) -> Box:
    """Return the largest box at the center of an image whose ratio is in a range."""
    tall, wide = height, width
    if width < ratios[0] * height:
        tall = round(width / ratios[0])
    elif width > ratios[1] * height:
        wide = round(height * ratios[1])
    tall, wide = max(tall, 1), max(wide, 1)
    top, left = (height - tall) // 2, (width - wide) // 2
    return top, top + tall, left, left + wide


def crop_offsets(seed: int, epoch: int, start: int, count: int) -> npt.NDArray[np.float64]:
    """Return float64 [count, 2]: where the squares of the images at `count` positions lie, along y and x, from 0 to 1.

    The positions are those of an epoch's order, from `start` on.
    """
    return fractions(hashed(seed, epoch, start, count, 2, _SQUARES))


def resized_crops(areas: Range, ratios: Range, seed: int, epoch: int, start: int, count: int) -> list[ResizedCrop]:
    """Return the random crop of each of these images."""
    tries = fractions(hashed(seed, epoch, start, count, TRIES * PER_TRY, _RESIZED)).reshape(count, TRIES, PER_TRY)
    return [ResizedCrop(each, areas, ratios) for each in tries]
