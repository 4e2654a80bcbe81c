"""Twins: images that show the same picture. Those of one hash form a group, and groups are compared, not images.

Most copies are copies of the file, so that there are fewer groups than images, and a picture that occurs 100,000 times
is one group rather than five thousand million pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from in21k.prep.duplicates.fingerprints import Fingerprints
from in21k.prep.duplicates.parameters import DISTANCE
from in21k.prep.duplicates.search import Hashes, NearPairs, Targets, choices, near_pairs
from in21k.prep.errors import PrepError
from in21k.prep.images.fingerprint import CROPS, MIRRORED
from in21k.shards_manifest.command.progress import Progress

IntArray = npt.NDArray[np.int64]

MOST_PAIRS = 1 << 25
"""Of groups, before the search gives up."""

_CROP_BEHIND = 2
"""Bits by which a crop must be nearer than the whole for a pair to count as one."""
_RADIX = 64


class Likeness(IntEnum):
    """How one picture comes from the other: of several ways, that with the least distance."""

    SAME = 0
    """The same picture, perhaps encoded or scaled anew."""
    MIRRORED = 1
    CROPPED = 2
    """One is a window of the other."""
    CROPPED_AND_MIRRORED = 3

    @property
    def text(self) -> str:
        """What tables and pages call it."""
        return self.name.lower().replace("_", "-")


def in_words(distance: int, likeness: int) -> str:
    """Return how near and how alike two twins are, such as `2 bits differ, mirrored`."""
    words = {0: "equal hashes", 1: "1 bit differs"}.get(distance, f"{distance} bits differ")
    return words if likeness == Likeness.SAME else f"{words}, {Likeness(likeness).text.replace('-', ' ')}"


@dataclass(frozen=True, eq=False)
class Groups:
    """The g groups of n images with the same hash, in order of the hash.

    A picture of a single color has no hash to speak of: there, a group is of the same file.
    """

    members: IntArray
    """int64 [n]: the images by group, ascending in each."""
    starts: IntArray
    """int64 [g + 1]: where each group begins there."""
    of_image: npt.NDArray[np.int32]
    """int32 [n]: each image's group."""
    hashes: npt.NDArray[np.uint64]
    """uint64 [h]: the hashes of the first h groups; the others are of a single color."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> IntArray:
        """int64 [g]: the number of images of each group."""
        return np.diff(self.starts)

    @property
    def first(self) -> IntArray:
        """int64 [g]: the first image of each group."""
        return self.members[self.starts[:-1]]


@dataclass(frozen=True, eq=False)
class NearGroups:
    """p pairs of groups whose pictures are alike, each pair once, in order of both."""

    left: IntArray
    """int64 [p]: a group."""
    right: IntArray
    """int64 [p]: a later group."""
    distances: npt.NDArray[np.uint8]
    """uint8 [p]: in how many bits their hashes differ."""
    likeness: npt.NDArray[np.uint8]
    """uint8 [p]: values of Likeness."""
    crowded: int
    """The number of groups that are like so many others that they were not compared with all of them."""


def group_images(found: Fingerprints) -> Groups:
    """Return the images in groups of the same hash."""
    keys = np.stack([found.phashes == 0, np.where(found.phashes == 0, found.digests, found.phashes)])
    unknown = (keys[0] == 1) & (keys[1] == 0)  # of a single color, and no file to compare
    keys[1][unknown] = np.flatnonzero(unknown)
    keys[0][unknown] = 2
    members = np.lexsort((keys[1], keys[0]))
    ordered = keys[:, members]
    begins = np.append(True, (ordered[:, 1:] != ordered[:, :-1]).any(axis=0))[: len(members)]
    of_image = np.empty(len(members), np.int32)
    of_image[members] = np.cumsum(begins) - 1
    starts = np.append(np.flatnonzero(begins), len(members))
    return Groups(members, starts, of_image, ordered[1][begins & (ordered[0] == 0)])


def find_near_groups(
    groups: Groups,
    found: Fingerprints,
    distance: int = DISTANCE,
    crops: bool = True,
    threads: int = 1,
) -> NearGroups:
    """Return the pairs of groups that are alike.

    Args:
        groups: the groups.
        found: the fingerprints of all images.
        distance: in how many of 64 bits twins may differ.
        crops: whether to look for crops, too, which takes five times as long.
        threads: how many cores to use.

    Raises:
        PrepError: so many groups are alike that they are no copies.
    """
    pairs: list[npt.NDArray[np.uint64]] = []
    total = crowded = 0
    for near in _near_pairs(groups.hashes, _targets(groups, found, crops), distance, threads):
        packed = _packed(near)
        pairs.append(packed)
        total, crowded = total + packed.shape[1], max(crowded, near.crowded)
        if total > MOST_PAIRS:
            raise PrepError(
                f"--distance {distance}: more than {MOST_PAIRS:,} pairs are that near, which are no copies; give less"
            )
    return _unique(pairs, crowded)


def _targets(groups: Groups, found: Fingerprints, crops: bool) -> list[Targets]:
    """Return what the groups' hashes are compared with: each other, and the windows of each group's first image."""
    masks = (0, MIRRORED)
    if not crops:
        return [Targets(groups.hashes, masks)]
    windows = found.crops[groups.first[: len(groups.hashes)]]
    cut = [Targets(np.ascontiguousarray(windows[:, at]), masks) for at in range(CROPS)]
    return [Targets(groups.hashes, masks), *cut]


def _near_pairs(hashes: Hashes, targets: list[Targets], distance: int, threads: int) -> Iterator[NearPairs]:
    """Yield what `near_pairs` yields, under a progress bar."""
    if len(hashes):
        with Progress("search", "step", len(choices(len(hashes), len(hashes), distance))) as bar:
            yield from near_pairs(hashes, targets, distance, threads, bar.reach)


def _packed(near: NearPairs) -> npt.NDArray[np.uint64]:
    """Return uint64 [2, n]: pairs as one number each, and the lower the better how they were found."""
    other = near.left != near.right
    left, right = near.left[other].astype(np.uint64), near.right[other].astype(np.uint64)
    pair = np.minimum(left, right) << np.uint64(32) | np.maximum(left, right)
    is_crop = near.target > 0
    distances = near.distances[other].astype(np.uint64)
    likeness, order = 2 * is_crop + near.mask, distances + _CROP_BEHIND * is_crop
    return np.stack([pair, (order * _RADIX + distances) * _RADIX + likeness])


def _unique(pairs: list[npt.NDArray[np.uint64]], crowded: int) -> NearGroups:
    """Return each pair once, as it was found best."""
    joined = np.concatenate([np.zeros((2, 0), np.uint64), *pairs], axis=1)
    joined = joined[:, np.lexsort((joined[1], joined[0]))]
    joined = joined[:, np.append(True, joined[0][1:] != joined[0][:-1])[: joined.shape[1]]]
    return NearGroups(
        left=(joined[0] >> np.uint64(32)).astype(np.int64),
        right=(joined[0] & np.uint64(0xFFFFFFFF)).astype(np.int64),
        distances=(joined[1] // _RADIX % _RADIX).astype(np.uint8),
        likeness=(joined[1] % _RADIX).astype(np.uint8),
        crowded=crowded,
    )
