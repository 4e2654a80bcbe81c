"""The hierarchy of a class list: parents, paths, levels, and what the semantic losses need (paper, section 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from in21k.tree.errors import TreeError

ROOT = -1
"""The parent index of a class without a kept ancestor."""

MAX_LEVEL_WEIGHT = 20.0
"""Upper bound of a level's weight in the semantic losses (the reference's)."""

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """A forest over classes: every class has at most one parent, and its level is its number of ancestors.

    Classes are known by their index into `wnids`. C is the number of classes, L that of levels.
    """

    wnids: tuple[str, ...]
    """The classes, in order of class index."""
    parents: IntArray
    """int32 [C]: class index of each class's parent, ROOT (-1) where it has none."""

    def __post_init__(self) -> None:
        if len(set(self.wnids)) != len(self.wnids):
            raise TreeError(
                f"class {_first_repeated(self.wnids)!r} is listed twice; a class list names each class once"
            )
        if self.parents.shape != (len(self.wnids),):
            raise TreeError(f"{len(self.wnids)} classes but parents of shape {self.parents.shape}")
        if len(self.parents) and not (self.parents.min() >= ROOT and self.parents.max() < len(self.wnids)):
            raise TreeError(f"parent indices must lie in -1 to {len(self.wnids) - 1}")

    def __len__(self) -> int:
        return len(self.wnids)

    @cached_property
    def levels(self) -> IntArray:
        """int32 [C]: the number of ancestors of each class, 0 for roots.

        Raises:
            TreeError: the parents form a cycle.
        """
        levels = np.zeros(len(self), np.int32)
        above = self.parents
        for _ in range(len(self) + 1):
            below = above != ROOT
            if not below.any():
                return levels
            levels += below
            above = np.where(below, self.parents[above], ROOT)
        raise TreeError(f"the parents of {self.wnids[int(np.flatnonzero(below)[0])]} form a cycle")

    @cached_property
    def level_sizes(self) -> IntArray:
        """int32 [L]: N_k, the number of classes at each level."""
        return np.bincount(self.levels, minlength=1).astype(np.int32)

    @property
    def num_levels(self) -> int:
        """The number of levels, L."""
        return len(self.level_sizes)

    @cached_property
    def active(self) -> npt.NDArray[np.bool_]:
        """Bool [L]: levels with two classes or more; a level of one class has nothing to learn, so no softmax."""
        return self.level_sizes >= 2

    @cached_property
    def level_weights(self) -> npt.NDArray[np.float64]:
        """float64 [L]: W_k = min(20, O_0 / O_k), O_k classes at level k and below (paper, eq. 3, scaled)."""
        at_or_below = np.cumsum(self.level_sizes[::-1])[::-1]
        weights: npt.NDArray[np.float64] = np.minimum(MAX_LEVEL_WEIGHT, at_or_below[0] / at_or_below)
        return weights

    @cached_property
    def ancestors(self) -> IntArray:
        """int32 [C, L]: the ancestor (or self) of each class at each level, -1 below its own level."""
        table = np.full((len(self), self.num_levels), ROOT, np.int32)
        node = np.arange(len(self), dtype=np.int32)
        while (inside := node != ROOT).any():
            rows = np.flatnonzero(inside)
            table[rows, self.levels[node[rows]]] = node[rows]
            node = np.where(inside, self.parents[node], ROOT)
        return table

    @cached_property
    def targets(self) -> npt.NDArray[np.int64]:
        """int64 [C, L]: for each class its target in each level's softmax, -1 below its own level.

        The softmax of level k goes over the classes of that level in order of class index; a class's target there is
        the place of its ancestor (or itself) among them.
        """
        order = np.argsort(self.levels, kind="stable")
        starts = np.cumsum(self.level_sizes) - self.level_sizes
        place = np.empty(len(self), np.int64)
        place[order] = np.arange(len(self)) - np.repeat(starts, self.level_sizes)
        return np.where(self.ancestors == ROOT, -1, place[self.ancestors])

    def multi_hot(self, indices: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return bool [n, C]: for each of n classes, given by index, itself and all its ancestors.

        Raises:
            TreeError: an index is none of a class.
        """
        rows = self._indices(indices)
        hot = np.zeros((*rows.shape, len(self) + 1), np.bool_)  # one column more for the -1 of levels below
        np.put_along_axis(hot, self.ancestors[rows].astype(np.int64) % (len(self) + 1), values=True, axis=-1)
        return hot[..., :-1]

    def lowest_common_ancestor(self, first: npt.ArrayLike, second: npt.ArrayLike) -> IntArray:
        """Return int32 [n]: the deepest class on the paths of both classes of each pair, ROOT (-1) where there is none.

        Args:
            first: the class indices of one side; a class is its own ancestor here.
            second: those of the other, of the same shape or broadcastable to it.

        Raises:
            TreeError: an index is none of a class.
        """
        left, right = (self.ancestors[self._indices(side)] for side in (first, second))
        shared = ((left == right) & (left != ROOT)).sum(axis=-1)  # paths agree from the root to the common ancestor
        left = np.broadcast_to(left, (*shared.shape, self.num_levels))
        deepest = np.take_along_axis(left, np.maximum(shared - 1, 0)[..., None], axis=-1)[..., 0]
        return np.where(shared > 0, deepest, ROOT).astype(np.int32)

    def tree_distance(self, first: npt.ArrayLike, second: npt.ArrayLike) -> IntArray:
        """Return int32 [n]: the edges on the way from one class of each pair to the other, -1 where no way leads there.

        Args:
            first: the class indices of one side.
            second: those of the other, of the same shape or broadcastable to it.

        Raises:
            TreeError: an index is none of a class.
        """
        common = self.lowest_common_ancestor(first, second)
        climbs = self.levels[self._indices(first)] + self.levels[self._indices(second)]
        return np.where(common == ROOT, -1, climbs - 2 * self.levels[common]).astype(np.int32)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The class indices of each class's children, ascending."""
        children: list[list[int]] = [[] for _ in self.wnids]
        for index, parent in enumerate(self.parents.tolist()):
            if parent != ROOT:
                children[parent].append(index)
        return tuple(map(tuple, children))

    def path(self, index: int) -> tuple[int, ...]:
        """Return the class indices from the root down to a class, itself included."""
        row = self.ancestors[index]
        return tuple(row[row != ROOT].tolist())

    def subtree_sums(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return int64 [C]: for each class the sum of `values` (int64 [C]) over itself and all below it."""
        sums = values.astype(np.int64, copy=True)
        for level in range(self.num_levels - 1, 0, -1):
            at_level = np.flatnonzero(self.levels == level)
            np.add.at(sums, self.parents[at_level], sums[at_level])
        return sums

    def _indices(self, indices: npt.ArrayLike) -> npt.NDArray[np.int64]:
        found = np.asarray(indices, np.int64)
        if found.size and not (found.min() >= 0 and found.max() < len(self)):
            raise TreeError(f"class indices must lie in 0 to {len(self) - 1}")
        return found


def build_hierarchy(wnids: Sequence[str], parent: Callable[[str], str | None]) -> Hierarchy:
    """Return the hierarchy of a class list: a class's parent is its nearest listed ancestor on its chain of parents.

    Args:
        wnids: the classes, in order of class index.
        parent: maps a wnid, of a class or of any synset above one, to its parent's, and a root to None.

    Raises:
        TreeError: a class is listed twice, `parent` does not know one, or a chain runs in a circle.
    """
    index_of = {wnid: index for index, wnid in enumerate(wnids)}
    nearest: dict[str, int] = {}

    def nearest_listed(wnid: str) -> int:
        chain: list[str] = []
        above = parent(wnid)
        while above is not None and above not in index_of and above not in nearest:
            chain.append(above)
            nearest[above] = ROOT  # a circle of unlisted nodes ends at its own beginning
            above = parent(above)
        found = ROOT if above is None else index_of.get(above, nearest.get(above, ROOT))
        nearest.update(dict.fromkeys(chain, found))
        return found

    parents = np.fromiter(map(nearest_listed, wnids), np.int32, len(wnids))
    hierarchy = Hierarchy(tuple(wnids), parents)
    _ = hierarchy.levels  # refuses cycles
    return hierarchy


def _first_repeated(names: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
