"""Pairs of images, out of pairs of groups: all of a group of usual size, those with its first image of a large one."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from in21k.prep.duplicates.twins import Groups, IntArray, Likeness, NearGroups

MOST_OF_GROUPS = 10_000
"""Pairs that two groups, or one with itself, are spelled out in."""

_AT_A_TIME = 1 << 20


@dataclass(frozen=True, eq=False)
class ImagePairs:
    """m pairs of images."""

    first: IntArray
    """int64 [m]: an image."""
    second: IntArray
    """int64 [m]: a later image."""
    distances: npt.NDArray[np.uint8]
    """uint8 [m]: in how many bits their hashes differ."""
    likeness: npt.NDArray[np.uint8]
    """uint8 [m]: values of Likeness."""

    def __len__(self) -> int:
        return len(self.first)

    def chosen(self, which: npt.NDArray[np.bool_]) -> "ImagePairs":
        """Return some of the pairs."""
        return ImagePairs(self.first[which], self.second[which], self.distances[which], self.likeness[which])


def image_pairs(groups: Groups, near: NearGroups) -> Iterator[ImagePairs]:
    """Yield the pairs of twins, some at a time; of large groups those with their first image alone."""
    sizes, own = groups.sizes, np.flatnonzero(groups.sizes > 1)
    left, right = np.concatenate([own, near.left]), np.concatenate([own, near.right])
    distances = np.concatenate([np.zeros(len(own), np.uint8), near.distances])
    likeness = np.concatenate([np.full(len(own), Likeness.SAME, np.uint8), near.likeness])
    is_large, is_own = sizes[left] * sizes[right] > MOST_OF_GROUPS, np.arange(len(left)) < len(own)
    lefts = np.where(is_large, 1, sizes[left])
    rights = np.where(is_large & ~is_own, 1, sizes[right])
    ends = np.cumsum(lefts * rights)
    bounds = np.searchsorted(ends, np.arange(0, ends[-1] if len(ends) else 0, _AT_A_TIME), side="left")
    bounds = np.unique(np.append(bounds, [0, len(left)]))
    for start, end in pairwise(bounds.tolist()):
        counts = (lefts * rights)[start:end]
        pair = np.repeat(np.arange(start, end), counts)
        number = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
        first = groups.members[groups.starts[left[pair]] + number // rights[pair]]
        second = groups.members[groups.starts[right[pair]] + number % rights[pair]]
        earlier, later = np.minimum(first, second), np.maximum(first, second)
        found = ImagePairs(earlier, later, distances[pair], likeness[pair])
        yield found.chosen(~is_own[pair] | (first < second))


def large_groups(groups: Groups) -> IntArray:
    """Return the groups whose pairs are not all spelled out, the largest first."""
    large = np.flatnonzero(groups.sizes**2 > MOST_OF_GROUPS)
    return large[np.argsort(-groups.sizes[large], kind="stable")]
