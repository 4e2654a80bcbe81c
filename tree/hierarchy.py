"""The hierarchy of a class list: parents, paths, levels (paper, section 2.2) and level weights (section 3.3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from in21k.tree.errors import NoSuchIndexError, TreeError
from in21k.tree.words import ClassWords, find_class

ROOT = -1
"""The parent index of a class without a kept ancestor; as a position, NumPy and pandas take it for the last class."""

MAX_LEVEL_WEIGHT = 20.0
"""Upper bound on a level's weight in the semantic losses; the reference code's, not the paper's."""

MOST_LEVELS = 256
"""Bound on L, since tables take C × L; WordNet has 20 levels."""

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """A forest over classes: each class has at most one parent, and its level is its number of ancestors.

    Classes are identified by their index into `wnids`; methods also take wnids, and where `words` is known names. C is
    the number of classes, L the number of levels.
    """

    wnids: tuple[str, ...]
    """The classes, in order of class index."""
    parents: Int32Array
    """int32 [C]: the class index of each class's parent, or ROOT (-1) for a root, which is no position to look up:
    `names[parents]` would give each root the last class as its parent. Select `parents[parents != ROOT]`."""
    words: ClassWords | None = None
    """What the classes are called; None where only the wnids are known."""

    def __post_init__(self) -> None:
        if len(set(self.wnids)) != len(self.wnids):
            raise TreeError(
                f"class {_first_repeated(self.wnids)!r} is listed twice; a class list names each class once"
            )
        if self.parents.shape != (len(self.wnids),):
            raise TreeError(f"{len(self.wnids)} classes but parents of shape {self.parents.shape}")
        if len(self.parents) and not (self.parents.min() >= ROOT and self.parents.max() < len(self.wnids)):
            raise TreeError(f"parent indices must be in the range -1 to {len(self.wnids) - 1}")

    def __len__(self) -> int:
        return len(self.wnids)

    def __repr__(self) -> str:
        roots = int((self.parents == ROOT).sum())
        facts = [f"{len(self):,} classes", f"{self.num_levels} levels", f"{roots:,} roots"]
        facts += [f"{self.sharing_names:,} share a name with another"] if self.sharing_names else []
        return f"Hierarchy({', '.join(facts)})"

    @property
    def sharing_names(self) -> int:
        """The number of classes that share their name with another one; 0 where no names are known."""
        return self.words.sharing if self.words else 0

    def index(self, named: str) -> int:
        """Return the class index of a wnid, a name or another word, as `dog` or `n02084071`.

        Raises:
            NoSuchClassError: no class is called so, or several are; the message lists them. It is a KeyError.
        """
        return find_class(named, self.wnids, self.words)

    @cached_property
    def levels(self) -> Int32Array:
        """int32 [C]: the number of ancestors of each class, 0 for roots.

        Raises:
            TreeError: the parents form a cycle, or a chain longer than any taxonomy's.
        """
        levels = np.zeros(len(self), np.int32)
        above = self.parents
        for _ in range(MOST_LEVELS):
            below = above != ROOT
            if not below.any():
                return levels
            levels += below
            above = np.where(below, self.parents[above], ROOT)
        raise self._too_deep(int(np.flatnonzero(below)[0]))

    def _too_deep(self, index: int) -> TreeError:
        """Return the error for a class that has no root within MOST_LEVELS levels."""
        parents = self.parents.tolist()
        above = parents[index]
        for ancestors in range(len(parents)):
            if above == ROOT:
                return TreeError(
                    f"{self.wnids[index]} has {ancestors} ancestors; a hierarchy has at most {MOST_LEVELS} levels"
                )
            above = parents[above]
        return TreeError(f"the parents of {self.wnids[index]} form a cycle")

    @cached_property
    def level_sizes(self) -> Int32Array:
        """int32 [L]: N_k, the number of classes at each level."""
        return np.bincount(self.levels, minlength=1).astype(np.int32)

    @property
    def num_levels(self) -> int:
        """The number of levels, L."""
        return len(self.level_sizes)

    @cached_property
    def active(self) -> npt.NDArray[np.bool_]:
        """Bool [L]: whether a level has two or more classes; one class alone leaves a softmax nothing to learn."""
        return self.level_sizes >= 2

    @cached_property
    def level_weights(self) -> npt.NDArray[np.float64]:
        """float64 [L]: W_k = min(20, O_0 / O_k), where O_k counts the classes at level k and below.

        The paper has W_k = 1 / O_k (section 3.3, eq. 2); the factor O_0 and the cap of 20 are the reference code's.
        """
        at_or_below = np.cumsum(self.level_sizes[::-1])[::-1]
        weights: npt.NDArray[np.float64] = np.minimum(MAX_LEVEL_WEIGHT, at_or_below[0] / at_or_below)
        return weights

    @cached_property
    def ancestors(self) -> Int32Array:
        """int32 [C, L]: the ancestor (or self) of each class at each level, -1 below the class's own level."""
        table = np.full((len(self), self.num_levels), ROOT, np.int32)
        node = np.arange(len(self), dtype=np.int32)
        while (inside := node != ROOT).any():
            rows = np.flatnonzero(inside)
            table[rows, self.levels[node[rows]]] = node[rows]
            node = np.where(inside, self.parents[node], ROOT)
        return table

    @cached_property
    def targets(self) -> Int64Array:
        """int64 [C, L]: the target of each class in each level's softmax, -1 below the class's own level.

        The softmax of level k covers the classes of that level in order of class index; the target of a class is the
        position of its ancestor (or itself) among them.
        """
        order = np.argsort(self.levels, kind="stable")
        starts = np.cumsum(self.level_sizes) - self.level_sizes
        position = np.empty(len(self), np.int64)
        position[order] = np.arange(len(self)) - np.repeat(starts, self.level_sizes)
        return np.where(self.ancestors == ROOT, -1, position[self.ancestors])

    def multi_hot(self, classes: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return bool [n, C]: for each of n classes, the class itself and all its ancestors.

        Args:
            classes: class indices, wnids or names.

        Raises:
            NoSuchClassError, NoSuchIndexError: one is no class.
        """
        rows = self._checked(classes)
        hot = np.zeros((*rows.shape, len(self) + 1), np.bool_)  # the extra column takes the -1 of deeper levels
        np.put_along_axis(hot, self.ancestors[rows].astype(np.int64) % (len(self) + 1), values=True, axis=-1)
        return hot[..., :-1]

    def lowest_common_ancestor(self, first: npt.ArrayLike, second: npt.ArrayLike) -> Int32Array:
        """Return int32 [n]: the deepest class on both paths of each pair, ROOT (-1) where there is none.

        Args:
            first: class indices, wnids or names; a class counts as its own ancestor.
            second: likewise, of the same shape, or of one that broadcasts to it.

        Raises:
            NoSuchClassError, NoSuchIndexError: one is no class.
        """
        left, right = (self.ancestors[self._checked(side)] for side in (first, second))
        shared = ((left == right) & (left != ROOT)).sum(axis=-1)  # paths agree from the root to the common ancestor
        left = np.broadcast_to(left, (*shared.shape, self.num_levels))
        deepest = np.take_along_axis(left, np.maximum(shared - 1, 0)[..., None], axis=-1)[..., 0]
        return np.where(shared > 0, deepest, ROOT).astype(np.int32)

    def tree_distance(self, first: npt.ArrayLike, second: npt.ArrayLike) -> Int32Array:
        """Return int32 [n]: the number of edges between the classes of each pair, -1 where no path connects them.

        Args:
            first: class indices, wnids or names.
            second: likewise, of the same shape, or of one that broadcasts to it.

        Raises:
            NoSuchClassError, NoSuchIndexError: one is no class.
        """
        common = self.lowest_common_ancestor(first, second)
        climbs = self.levels[self._checked(first)] + self.levels[self._checked(second)]
        return np.where(common == ROOT, -1, climbs - 2 * self.levels[common]).astype(np.int32)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The class indices of each class's children, ascending."""
        children: list[list[int]] = [[] for _ in self.wnids]
        for index, parent in enumerate(self.parents.tolist()):
            if parent != ROOT:
                children[parent].append(index)
        return tuple(map(tuple, children))

    def path(self, of: int | str) -> tuple[int, ...]:
        """Return the class indices from the root down to a class, including the class itself.

        Args:
            of: a class index, a wnid or a name.

        Raises:
            NoSuchClassError, NoSuchIndexError: it is no class.
        """
        row = self.ancestors[self.index(of) if isinstance(of, str) else self._checked(of)]
        return tuple(row[row != ROOT].tolist())

    def subtree_sums(self, values: Int64Array) -> Int64Array:
        """Return int64 [C]: for each class, the sum of `values` (int64 [C]) over the class and all its descendants."""
        sums = values.astype(np.int64, copy=True)
        for level in range(self.num_levels - 1, 0, -1):
            at_level = np.flatnonzero(self.levels == level)
            np.add.at(sums, self.parents[at_level], sums[at_level])
        return sums

    def _checked(self, classes: npt.ArrayLike) -> Int64Array:
        """Return class indices as int64, also of wnids and names, or raise TreeError where one is no class."""
        checked = np.asarray(classes)
        if checked.dtype.kind in "OU":
            given = np.asarray(classes, object)
            found = [self.index(each) if isinstance(each, str) else each for each in given.flat]
            checked = np.array(found, np.int64).reshape(given.shape)
        checked = checked.astype(np.int64, copy=False)
        if checked.size and not (checked.min() >= 0 and checked.max() < len(self)):
            hint = "; -1 in place of a parent says that a root has none" if checked.min() == ROOT else ""
            raise NoSuchIndexError(f"class indices must be in the range 0 to {len(self) - 1}{hint}")
        return checked


def build_hierarchy(
    wnids: Sequence[str], parent: Callable[[str], str | None], words: ClassWords | None = None
) -> Hierarchy:
    """Return the hierarchy of a class list: a class's parent is its nearest listed ancestor.

    Args:
        wnids: the classes, in order of class index.
        parent: maps the wnid of a class, or of any synset above one, to its parent's wnid, and a root to None.
        words: what the classes are called.

    Raises:
        TreeError: a class is listed twice or unknown to `parent`, or the parents form a cycle.
    """
    index_of = {wnid: index for index, wnid in enumerate(wnids)}
    nearest: dict[str, int] = {}

    def nearest_listed(wnid: str) -> int:
        """Return the class index of the nearest listed ancestor, remembering it for all synsets on the way."""
        chain: list[str] = []
        above = parent(wnid)
        while above is not None and above not in index_of and above not in nearest:
            chain.append(above)
            nearest[above] = ROOT  # so that a cycle of unlisted synsets ends where it began
            above = parent(above)
        found = ROOT if above is None else index_of.get(above, nearest.get(above, ROOT))
        nearest.update(dict.fromkeys(chain, found))
        return found

    parents = np.fromiter(map(nearest_listed, wnids), np.int32, len(wnids))
    hierarchy = Hierarchy(tuple(wnids), parents, words)
    _ = hierarchy.levels  # raises on cycles
    return hierarchy


def _first_repeated(names: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
