"""This loader at smaller image sizes: its rates, and how libjpeg's scaled images differ from resized ones."""

import statistics
from functools import partial

import numpy as np
from loader_peers import Inputs, jpegs, ours, rate

from in21k.train.images.decode import decode_into

SIZE_TARGETS = {6: 1.2, 4: 1.5}  # eighths of the images' own size, target of the rate over that at their own


def at_sizes(inputs: Inputs, rounds: int) -> None:
    """Print this loader's rates at sizes that libjpeg scales to, relative to the images' own."""
    sizes = {inputs.size * eighths // 8: eighths for eighths in (8, 7, 6, 5, 4) if inputs.size * eighths % 8 == 0}
    rows = [(size, augmented) for size in sizes for augmented in (False, True)]
    found: dict[tuple[int, bool], list[float]] = {row: [] for row in rows}
    for _ in range(rounds + 1):
        for size, augmented in rows:
            make = partial(ours, augmented=augmented, size=size)
            found[size, augmented].append(rate(make, inputs))
    medians = {row: statistics.median(figures[1:]) for row, figures in found.items()}  # the first fills caches
    ratios = {
        (size, augmented): value / medians[inputs.size, augmented] for (size, augmented), value in medians.items()
    }
    print(
        "| image size | images/s | over its own | with Cutout and RandAugment | over its own | target |\n"
        + "|---" * 6
        + "|"
    )
    for size, eighths in sizes.items():
        plain, augmented = ((f"{medians[size, each]:,.0f}", f"{ratios[size, each]:.2f}") for each in (False, True))
        least = SIZE_TARGETS.get(eighths)
        target = f"{least:.2f}" if least else ""
        print(f"| {size} | {' | '.join((*plain, *augmented))} | {target} |")
    print()
    print_differences(inputs, list(sizes)[1:])


def print_differences(inputs: Inputs, sizes: list[int]) -> None:
    """Print the median image's differences at sizes that libjpeg scales to."""
    files = list(dict.fromkeys(jpegs(inputs)))
    print("| image size | gray levels from a resized image, mean | 99 % within | PSNR, dB | steps between neighbors |")
    print("|---" * 5 + "|")
    for size in sizes:
        found = np.median([differences(content, size) for content in files], axis=0)
        print("| {} | {:.1f} | {:.0f} | {:.1f} | × {:.2f} |".format(size, *found))
    print()


def differences(content: bytes, size: int) -> tuple[float, float, float, float]:
    """Return how an image that libjpeg scales differs from one that is resized: bicubic, antialiased.

    The mean difference in gray levels, the 99th percentile, the PSNR in dB, and the mean step from a pixel to the next.
    """
    scaled, resized = np.empty((2, size, size, 3), np.uint8)
    decode_into(content, scaled, scaled=True)
    decode_into(content, resized)
    off = np.abs(scaled.astype(float) - resized)
    steps = [
        sum(np.abs(np.diff(pixels.astype(float), axis=axis)).mean() for axis in (0, 1)) for pixels in (scaled, resized)
    ]
    return off.mean(), np.percentile(off, 99), 10 * np.log10(255**2 / np.square(off).mean()), steps[0] / steps[1]
