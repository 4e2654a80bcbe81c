"""Which images are dropped because another shows the same picture: a pure function of fingerprints and ranks."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from in21k.prep.duplicates.twins import Groups, IntArray, Likeness, NearGroups

_BoolArray = npt.NDArray[np.bool_]
_NONE = -1


@dataclass(frozen=True, eq=False)
class Twins:
    """For each of n images or groups, the twin because of which it may go."""

    images: IntArray
    """int64 [n]: the number of an image, -1 where there is none."""
    distances: npt.NDArray[np.uint8]
    """uint8 [n]: in how many bits the hashes differ."""
    likeness: npt.NDArray[np.uint8]
    """uint8 [n]: values of Likeness."""

    @classmethod
    def none(cls, count: int) -> "Twins":
        """Return that so many images have no twin."""
        return cls(np.full(count, _NONE), np.zeros(count, np.uint8), np.zeros(count, np.uint8))

    def put(self, where: IntArray, images: IntArray, distances: npt.ArrayLike, likeness: npt.ArrayLike) -> None:
        """Set the twins of some images."""
        self.images[where], self.distances[where], self.likeness[where] = images, distances, likeness


def nearest_marked(groups: Groups, near: NearGroups, marked: _BoolArray) -> Twins:
    """Return for each image the nearest marked image of its group or one like it; of several, the first.

    Args:
        groups: the groups.
        near: the groups that are alike.
        marked: bool [n].
    """
    chosen = groups.members[marked[groups.members]]
    of_group = groups.of_image[chosen]
    holders, begins = np.unique(of_group, return_index=True)
    first = np.full(len(groups), _NONE)
    first[holders] = chosen[begins]
    own = (holders, first[holders], np.zeros(len(holders), np.uint8), np.full(len(holders), Likeness.SAME, np.uint8))
    ways = [own]
    for one, other in ((near.left, near.right), (near.right, near.left)):
        found = first[other] != _NONE
        ways.append((one[found], first[other[found]], near.distances[found], near.likeness[found]))
    of_ways, twins, distances, likeness = (np.concatenate(column) for column in zip(*ways, strict=True))
    order = np.lexsort((twins, distances, of_ways))
    best = order[np.append(True, np.diff(of_ways[order]) != 0)[: len(order)]]
    by_group = Twins.none(len(groups))
    by_group.put(of_ways[best], twins[best], distances[best], likeness[best])
    at = groups.of_image
    return Twins(by_group.images[at], by_group.distances[at], by_group.likeness[at])


def repeated_in_class(
    groups: Groups, near: NearGroups, classes: npt.NDArray[np.int32], order: IntArray, alive: _BoolArray
) -> Twins:
    """Return for each image the one of its class because of which it goes: an earlier one that stays.

    Images are decided in their order: each stays unless one that stays is its twin.

    Args:
        groups: the groups, of these images and perhaps of more behind them.
        near: the groups that are alike.
        classes: int32 [n], class indices.
        order: int64 [n]: unique in each class; the lower comes first.
        alive: bool [n]: which images are there at all.
    """
    twins = Twins.none(len(classes))
    images, many = np.flatnonzero(alive), int(classes.max(initial=0)) + 1
    if not len(images):
        return twins
    cells = groups.of_image[images].astype(np.int64) * many + classes[images]  # of a group and a class
    images = images[np.lexsort((order[images], cells))]
    cells = groups.of_image[images].astype(np.int64) * many + classes[images]
    codes, begins = np.unique(cells, return_index=True)
    first = images[begins]
    edges = _edges(codes, near, many)
    gone = _decided(edges, order[first], near)
    of_image = np.searchsorted(codes, cells)
    keeper = gone.images[of_image]
    is_gone, is_later = keeper != _NONE, images != first[of_image]
    twins.put(images[is_later], first[of_image[is_later]], 0, Likeness.SAME)
    by = of_image[is_gone]
    twins.put(images[is_gone], first[keeper[is_gone]], gone.distances[by], gone.likeness[by])
    return twins


def _edges(codes: IntArray, near: NearGroups, many: int) -> IntArray:
    """Return int64 [3, m], the pairs of cells of one class whose groups are alike, and the pair of groups."""
    starts = np.searchsorted(codes, near.left * many)
    counts = np.searchsorted(codes, (near.left + 1) * many) - starts
    pair = np.repeat(np.arange(len(near.left)), counts)
    left = np.repeat(starts, counts) + np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    wanted = near.right[pair] * many + codes[left] % many
    right = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    found = codes[right] == wanted
    return np.stack([left[found], right[found], pair[found]])


def _decided(edges: IntArray, order: IntArray, near: NearGroups) -> Twins:
    """Return for each cell the one because of which it goes."""
    is_later = order[edges[0]] > order[edges[1]]
    later, earlier = np.where(is_later, edges[0], edges[1]), np.where(is_later, edges[1], edges[0])
    sequence = np.lexsort((order[earlier], near.distances[edges[2]], order[later]))
    gone = Twins.none(len(order))
    keepers: list[int] = gone.images.tolist()
    pairs = [_NONE] * len(order)
    for at, before, pair in zip(*(column[sequence].tolist() for column in (later, earlier, edges[2])), strict=True):
        if keepers[before] == _NONE and keepers[at] == _NONE:
            keepers[at], pairs[at] = before, pair
    where = np.flatnonzero(np.array(keepers, np.int64) != _NONE)
    of_pair = np.array(pairs, np.int64)[where]
    gone.put(where, np.array(keepers, np.int64)[where], near.distances[of_pair], near.likeness[of_pair])
    return gone
