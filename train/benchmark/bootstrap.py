"""Confidence intervals by the bootstrap: how far a score would move if the test images were drawn anew.

Images are drawn with replacement from those that there are, as many as there are; the interval lies between two
percentiles of the scores of many such draws (Efron 1979). Where a score is a mean over several runs, all of them see
the same draw: the interval is about the images alone. How far runs differ is what the standard deviation says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from in21k.train.arrays import FloatArray
from in21k.train.benchmark.outcomes import ImageScores, LabelScores, Outcomes

LEVEL = 0.95
DRAWS = 10_000
PRECISION_DRAWS = 1_000
"""Of mean average precision, each of which ranks the images of every class."""

_AT_ONCE = 1 << 22
"""Numbers in memory at a time."""
_FEW = 64
"""So many different values are counted, rather than drawn one by one: runs that are right or wrong have few."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a score."""

    low: float
    high: float
    images: int
    """That were drawn from."""


def interval(runs: Sequence[Outcomes], seed: int = 0) -> Interval:
    """Return the interval of the mean score of some runs over the same images.

    Raises:
        ValueError: they are not over the same images, or not of the same kind.
    """
    keys = runs[0].keys
    if any(run.keys != keys for run in runs):
        raise ValueError("the runs do not have the same test images")
    random = np.random.default_rng(seed)
    whole = [run for run in runs if isinstance(run, ImageScores)]
    ranked = [run for run in runs if isinstance(run, LabelScores)]
    if whole and ranked:
        raise ValueError("some runs have one class per image, others have several")
    if whole:
        scores = drawn_means(np.mean([run.values for run in whole], axis=0), random)
    else:
        scores = drawn_precisions(ranked, random)
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), len(keys))


def drawn_means(values: FloatArray, random: np.random.Generator, draws: int = DRAWS) -> FloatArray:
    """Return float64 [R]: the means of R draws, with replacement, of as many values as there are.

    Args:
        values: float64 [N].
        random: where the draws come from.
        draws: R.
    """
    different, counts = np.unique(values, return_counts=True)
    if len(different) <= _FEW:
        drawn = random.multinomial(len(values), counts / len(values), size=draws)
        means: FloatArray = drawn @ different / len(values)
        return means
    found = np.empty(draws)
    for first, last in _pieces(draws, len(values)):
        found[first:last] = values[random.integers(len(values), size=(last - first, len(values)))].mean(1)
    return found


def drawn_precisions(
    runs: Sequence[LabelScores], random: np.random.Generator, draws: int = PRECISION_DRAWS
) -> FloatArray:
    """Return float64 [R]: the mean, over the runs, of mean average precision in each of R draws of the images."""
    images, found = len(runs[0].keys), np.empty(draws)
    for first, last in _pieces(draws, images):
        weights = np.array([_times_drawn(images, random) for _ in range(first, last)])
        found[first:last] = np.mean([run.precisions(weights) for run in runs], axis=0)
    return found


def _times_drawn(images: int, random: np.random.Generator) -> FloatArray:
    """Return float64 [N]: how often each image is in a draw."""
    return np.bincount(random.integers(images, size=images), minlength=images).astype(np.float64)


def _pieces(draws: int, images: int) -> list[tuple[int, int]]:
    """Return the draws as ranges of which each fits into memory."""
    step = max(_AT_ONCE // max(images, 1), 1)
    return [(first, min(first + step, draws)) for first in range(0, draws, step)]
