"""The level order: the classes sorted by level, so that each level's logits are one slice.

A softmax a level needs the logits of that level's classes. Permuting the logits at every step costs more than the loss
itself, so the classifier's rows are kept in level order while a model is in memory. Checkpoints hold class order.
"""

from dataclasses import dataclass

import numpy as np
import torch

from in21k.train.arrays import IntArray
from in21k.tree.hierarchy import ROOT, Hierarchy


@dataclass(frozen=True, eq=False)
class LevelOrder:
    """The rows of a classifier of C classes in L levels, sorted by level and within a level by class index."""

    class_of_row: IntArray
    """int64 [C]: the class index of each row."""
    row_of_class: IntArray
    """int64 [C]: the row of each class index."""
    bounds: tuple[tuple[int, int], ...]
    """The first row and the row after the last one of each of the L levels."""
    targets: IntArray
    """int64 [C, L]: by class index, the place within level k of the class's ancestor (or self), -1 without one."""
    active: tuple[int, ...]
    """The levels with two classes or more."""
    weights: tuple[float, ...]
    """W_k of each of the L levels."""

    def to_rows(self, by_class: torch.Tensor) -> torch.Tensor:
        """Return a tensor whose first axis goes over classes, [C, …], with that axis in level order."""
        return by_class[torch.from_numpy(self.class_of_row).to(by_class.device)]

    def to_classes(self, by_row: torch.Tensor) -> torch.Tensor:
        """Return a tensor whose first axis is in level order, [C, …], with that axis in class order."""
        return by_row[torch.from_numpy(self.row_of_class).to(by_row.device)]


def level_order(hierarchy: Hierarchy) -> LevelOrder:
    """Return the level order of a hierarchy."""
    class_of_row = np.argsort(hierarchy.levels, kind="stable").astype(np.int64)
    row_of_class = np.empty_like(class_of_row)
    row_of_class[class_of_row] = np.arange(len(class_of_row))
    ends = np.cumsum(hierarchy.level_sizes, dtype=np.int64)
    starts = ends - hierarchy.level_sizes
    ancestors = hierarchy.ancestors
    targets = np.where(ancestors == ROOT, -1, row_of_class[ancestors] - starts[None, :])
    return LevelOrder(
        class_of_row=class_of_row,
        row_of_class=row_of_class,
        bounds=tuple(zip(starts.tolist(), ends.tolist(), strict=True)),
        targets=targets.astype(np.int64),
        active=tuple(np.flatnonzero(hierarchy.active).tolist()),
        weights=tuple(hierarchy.level_weights.tolist()),
    )
