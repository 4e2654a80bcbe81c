"""Boxes at random places of an image, of a random area and a random ratio of their sides."""

import math

import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]
"""Top, bottom, left and right, in pixels; bottom and right are exclusive."""

Range = tuple[float, float]
"""The least and the greatest value."""

TRIES = 10
"""Boxes that are tried for an image, as in torchvision and timm; the first that fits counts."""

PER_TRY = 4
"""Random numbers per try: area, ratio, and the place along y and x."""


def first_that_fits(
    tries: npt.NDArray[np.float64], areas: Range, ratios: Range, height: int, width: int, margin: int = 0
) -> Box | None:
    """Return the first box that fits into an image, None if none of those tried does.

    Its area is uniform in its range, the logarithm of its ratio is, and it may lie anywhere.

    Args:
        tries: float64 [TRIES, 4], from 0 to 1.
        areas: as shares of the image's area.
        ratios: of width to height.
        height: of the image.
        width: of the image.
        margin: pixels by which the box has to be lower and narrower than the image.
    """
    low, high = math.log(ratios[0]), math.log(ratios[1])
    for at_area, at_ratio, at_y, at_x in tries.tolist():
        area = height * width * (areas[0] + at_area * (areas[1] - areas[0]))
        ratio = math.exp(low + at_ratio * (high - low))
        tall, wide = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < tall <= height - margin and 0 < wide <= width - margin:
            top, left = int(at_y * (height - tall + 1)), int(at_x * (width - wide + 1))
            return top, top + tall, left, left + wide
    return None
