"""Random erasing (arXiv 1708.04896): a box of an image becomes noise.

The box is timm's: 2 to 33 % of the image's area, its ratio between 0.3 and 1/0.3, the first of ten that fits. Its
content is what the paper found to be best: each level of each pixel random, from 0 to 255.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from in21k.shards_manifest.images.decode import Pixels
from in21k.train.arrays import IntArray
from in21k.train.images.boxes import PER_TRY, TRIES, Box, first_that_fits
from in21k.train.images.hashes import Bits, fractions, hashed, mix

AREAS = (0.02, 1 / 3)
"""Of the box, as a share of the image's area."""
RATIOS = (0.3, 1 / 0.3)
LEVEL_SHIFTS = (40, 48, 56)
"""Where the three levels of a pixel are in its random bits."""

_STREAM = 4
_NOWHERE = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class ErasingDraws:
    """The random numbers of B images."""

    happens: npt.NDArray[np.bool_]
    """bool [B]."""
    tries: npt.NDArray[np.float64]
    """float64 [B, TRIES, 4], from 0 to 1."""
    noise: Bits
    """uint64 [B]: the random bits of pixel n, counted row by row, are `mix(noise + n)`."""

    def boxes(self, height: int, width: int) -> IntArray:
        """Return int64 [B, 4]: the boxes of images of a size, empty for those that stay as they are."""
        found = [self._box(row, height, width) for row in range(len(self.happens))]
        return np.array(found, np.int64).reshape(-1, 4)

    def _box(self, row: int, height: int, width: int) -> Box:
        if not self.happens[row]:
            return _NOWHERE
        return first_that_fits(self.tries[row], AREAS, RATIOS, height, width, margin=1) or _NOWHERE

    def erase(self, image: Pixels, row: int) -> None:
        """Erase a box of an image in place, if its row says so.

        Args:
            image: uint8 [H, W, 3].
            row: the image's row in the batch.
        """
        height, width = image.shape[:2]
        top, bottom, left, right = self._box(row, height, width)
        if top == bottom:
            return
        numbers = np.arange(top, bottom, dtype=np.uint64)[:, None] * np.uint64(width)
        bits = mix(self.noise[row] + numbers + np.arange(left, right, dtype=np.uint64))
        for channel, shift in enumerate(LEVEL_SHIFTS):
            image[top:bottom, left:right, channel] = (bits >> np.uint64(shift)).astype(np.uint8)


def draw_erasing(probability: float, seed: int, epoch: int, start: int, count: int) -> ErasingDraws:
    """Return the random numbers of the images at `count` positions of an epoch's order, from `start` on."""
    numbers = hashed(seed, epoch, start, count, 2 + TRIES * PER_TRY, _STREAM)
    tries = fractions(numbers[:, 2:]).reshape(count, TRIES, PER_TRY)
    return ErasingDraws(fractions(numbers[:, 0]) < probability, tries, numbers[:, 1])
