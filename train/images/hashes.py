"""Random numbers as hashes of (seed, epoch, the image's position in the epoch's order): SplitMix64's mix.

An image gets the same ones whichever rank, loader process or device works on it, and after a resume, too.
"""

import numpy as np
import numpy.typing as npt

from in21k.train.arrays import IntArray

Bits = npt.NDArray[np.uint64]

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""SplitMix64's factors: of its counter, and after each of its first two shifts."""


def hashed(seed: int, epoch: int, start: int, count: int, draws: int, stream: int = 0) -> Bits:
    """Return uint64 [count, draws]: random bits for the images at `count` positions, from `start` on.

    Args:
        seed: not negative.
        epoch: not negative.
        start: the first position.
        count: number of positions.
        draws: numbers per position, at most 1,024.
        stream: what the numbers are for; each use has a stream of its own.
    """
    words = np.random.SeedSequence([seed, epoch, stream]).generate_state(2, np.uint64)
    positions = np.arange(start, start + count, dtype=np.uint64)[:, None] * np.uint64(1 << 10)
    mixed = mix(positions + np.arange(draws, dtype=np.uint64) + words[0])
    return mix(mixed ^ words[1])


def mix(values: Bits) -> Bits:
    """Return random bits made of any: SplitMix64 after a number of steps."""
    values = values * np.uint64(GOLDEN)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(FIRST)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(SECOND)
    return values ^ (values >> np.uint64(31))


def fractions(numbers: Bits) -> npt.NDArray[np.float64]:
    """Return numbers from 0 to 1, exclusive, made of random 64-bit ones."""
    return (numbers >> np.uint64(11)).astype(np.float64) / 2.0**53


def below(numbers: Bits, count: int) -> IntArray:
    """Return whole numbers from 0 to count - 1, made of random 64-bit ones."""
    return ((numbers >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)
