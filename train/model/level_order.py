"""Level order: a classifier's rows sorted by level, so that each level's logits are one slice.

Semantic softmax takes the logits of one level at a time. Permuting logits at every step would cost more than the loss
itself, so a network's classifier rows stay in level order while it is in memory. Files hold class order.
"""

from dataclasses import dataclass

import numpy as np
import torch

from in21k.train.arrays import IntArray
from in21k.tree.hierarchy import Hierarchy


@dataclass(frozen=True, eq=False)
class LevelOrder:
    """The rows of a classifier of C classes in L levels, sorted by level and, within a level, by class index."""

    class_of_row: IntArray
    """int64 [C]: the class index of each row."""
    row_of_class: IntArray
    """int64 [C]: the row of each class index."""
    bounds: tuple[tuple[int, int], ...]
    """For each of the L levels, its first row and the row after its last."""
    targets: IntArray
    """int64 [C, L], by class index: the target in each level's softmax, counted from the level's first row; -1 below a
    class's own level (`Hierarchy.targets`)."""
    active: tuple[int, ...]
    """The levels with at least two classes."""
    weights: tuple[float, ...]
    """W_k of each of the L levels (`Hierarchy.level_weights`)."""

    def __len__(self) -> int:
        """Return C."""
        return len(self.class_of_row)

    @property
    def ancestors(self) -> IntArray:
        """int64 [C, L], by class index: the class's ancestor (or itself) at each level, -1 below its own level."""
        starts = np.array([start for start, _ in self.bounds])
        return np.where(self.targets < 0, -1, self.class_of_row[starts + self.targets])

    def to_rows(self, by_class: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """Return a tensor with the axis that goes over classes, the first by default, put into level order."""
        return by_class.index_select(dim, torch.from_numpy(self.class_of_row).to(by_class.device))

    def to_classes(self, by_row: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """Return a tensor with the axis that is in level order, the first by default, put back into class order."""
        return by_row.index_select(dim, torch.from_numpy(self.row_of_class).to(by_row.device))


def level_order(hierarchy: Hierarchy) -> LevelOrder:
    """Return the level order of a hierarchy."""
    class_of_row = np.argsort(hierarchy.levels, kind="stable").astype(np.int64)
    row_of_class = np.empty_like(class_of_row)
    row_of_class[class_of_row] = np.arange(len(class_of_row))
    ends = np.cumsum(hierarchy.level_sizes, dtype=np.int64)
    starts = ends - hierarchy.level_sizes
    return LevelOrder(
        class_of_row=class_of_row,
        row_of_class=row_of_class,
        bounds=tuple(zip(starts.tolist(), ends.tolist(), strict=True)),
        targets=hierarchy.targets,
        active=tuple(np.flatnonzero(hierarchy.active).tolist()),
        weights=tuple(hierarchy.level_weights.tolist()),
    )


def flat_order(classes: int) -> LevelOrder:
    """Return the order of classes without a hierarchy: one level, so that class order and level order are the same."""
    rows = np.arange(classes)
    return LevelOrder(
        class_of_row=rows,
        row_of_class=rows,
        bounds=((0, classes),),
        targets=rows[:, None],
        active=(0,) if classes > 1 else (),
        weights=(1.0,),
    )
