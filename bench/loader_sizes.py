"""This loader at smaller image sizes: its rates in each way to them, and how their images differ from resized ones."""

import statistics
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np
from loader_peers import Inputs, jpegs, ours, rate

from in21k.train.images.decode import decode_into

SHARES = tuple(Fraction(*each) for each in ((7, 8), (6, 7), (6, 8), (5, 7), (5, 8), (4, 7), (4, 8)))
"""Of the images' own size: what libjpeg scales to, and 192, 160 and 128 of 224, to which images are resized."""
TARGETS = {Fraction(6, 8): 1.2, Fraction(4, 8): 1.5}
"""Of the rate over that at the images' own size."""


class Row(NamedTuple):
    """A size, and how images come to it (`data.downscale`; empty at their own size)."""

    side: int
    downscale: str


def at_sizes(inputs: Inputs, rounds: int) -> None:
    """Print this loader's rates at smaller sizes, relative to the images' own."""
    sides = [int(inputs.size * share) for share in SHARES if inputs.size * share % 1 == 0]
    own, rows = Row(inputs.size, ""), [Row(side, way) for side in sides for way in ("libjpeg", "linear")]
    found: dict[tuple[Row, bool], list[float]] = {(row, each): [] for row in (own, *rows) for each in (False, True)}
    for _ in range(rounds + 1):
        for (row, augmented), rates in found.items():
            size = None if row == own else row.side
            rates.append(rate(partial(ours, augmented=augmented, size=size, downscale=row.downscale), inputs))
    medians = {key: statistics.median(rates[1:]) for key, rates in found.items()}  # the first fills caches
    print("| image size | by | images/s | over its own | with Cutout and RandAugment | over its own | target |")
    print("|---" * 7 + "|")
    for row in (own, *rows):
        rates = [(medians[row, each], medians[row, each] / medians[own, each]) for each in (False, True)]
        cells = [cell for value, ratio in rates for cell in (f"{value:,.0f}", f"{ratio:.2f}")]
        target = str(TARGETS.get(Fraction(row.side, inputs.size), ""))
        print(f"| {row.side} | {row.downscale} | {' | '.join(cells)} | {target} |")
    print()
    print_differences(inputs, rows)


def print_differences(inputs: Inputs, rows: list[Row]) -> None:
    """Print how the median image differs at each size and by each way to it."""
    files = list(dict.fromkeys(jpegs(inputs)))
    print("| image size | by | gray levels from a resized image, mean | 99 % within | PSNR, dB | steps |")
    print("|---" * 6 + "|")
    for row in rows:
        with np.errstate(divide="ignore"):  # some are resized, and equal
            found = np.median([differences(content, *row) for content in files], axis=0)
        print("| {} | {} | {:.1f} | {:.0f} | {:.1f} | × {:.2f} |".format(*row, *found))
    print()


def differences(content: bytes, size: int, downscale: str) -> tuple[float, float, float, float]:
    """Return how an image made smaller differs from one that is resized: bicubic, antialiased.

    The mean difference in gray levels, the 99th percentile, the PSNR in dB, and the mean step from a pixel to the next.
    """
    smaller, resized = np.empty((2, size, size, 3), np.uint8)
    decode_into(content, smaller, downscale=downscale)
    decode_into(content, resized)
    off = np.abs(smaller.astype(float) - resized)
    steps = [
        sum(np.abs(np.diff(pixels.astype(float), axis=axis)).mean() for axis in (0, 1)) for pixels in (smaller, resized)
    ]
    return off.mean(), np.percentile(off, 99), 10 * np.log10(255**2 / np.square(off).mean()), steps[0] / steps[1]
