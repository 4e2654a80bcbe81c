"""The hierarchy on the device: sums up the tree and values down the tree, for batches of scores in level order."""

import numpy as np
import torch
from torch import Tensor, nn

from in21k.train.arrays import IntArray
from in21k.train.model.level_order import LevelOrder


class LevelTree(nn.Module):
    """Who is above whom among the C rows of a classifier in L levels; all roots stand below one node that is no class.

    Everything is computed level by level, with as many values as there are classes. Nothing waits for the device.
    """

    above: Tensor
    """int64 [C]: the place of each row's parent among the rows of the level above; 0 for roots."""
    rows: Tensor
    """int64 [C, L], by class index: the row of the class's ancestor (or itself) at each level, -1 below its own."""

    def __init__(self, order: LevelOrder) -> None:
        super().__init__()
        self.bounds = order.bounds
        starts = np.array([start for start, _ in order.bounds])
        levels = (order.targets >= 0).sum(1) - 1
        parents = order.targets[np.arange(len(order)), np.maximum(levels - 1, 0)]
        above = np.where(levels > 0, parents, 0)[order.class_of_row]
        rows = np.where(order.targets >= 0, starts + order.targets, -1)
        self.register_buffer("above", torch.from_numpy(above), persistent=False)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)

    def log_sums(self, scores: Tensor) -> Tensor:
        """Return [B, C]: the logarithm of the sum of exp(score) over each row and all rows below it.

        Args:
            scores: [B, C], float32 or float64.
        """
        levels = [scores[:, start:stop] for start, stop in self.bounds]
        for level in range(len(levels) - 1, 0, -1):
            levels[level - 1] = _log_sums(levels[level], self._above(level), levels[level - 1])
        return torch.cat(levels, 1)

    def log_shares(self, scores: Tensor) -> Tensor:
        """Return [B, C]: the logarithm of each row's share among its siblings, a softmax over the children of a parent.

        Args:
            scores: [B, C], float32 or float64.
        """
        levels = [scores[:, start:stop] for start, stop in self.bounds]
        shares = [torch.log_softmax(levels[0], 1)]
        for level in range(1, len(levels)):
            nothing = torch.full_like(levels[level - 1], -torch.inf)
            totals = _log_sums(levels[level], self._above(level), nothing)
            shares.append(levels[level] - totals[:, self._above(level)])
        return torch.cat(shares, 1)

    def down(self, values: Tensor, *, minimum: bool = False) -> Tensor:
        """Return [B, C]: the sum, or the minimum, of the values of each row and all rows above it.

        Args:
            values: [B, C].
            minimum: whether it is the minimum.
        """
        join = torch.minimum if minimum else torch.add
        (start, stop), *_ = self.bounds
        levels = [values[:, start:stop]]
        for level, (start, stop) in enumerate(self.bounds[1:], 1):
            levels.append(join(values[:, start:stop], levels[-1][:, self._above(level)]))
        return torch.cat(levels, 1)

    def spread(self, values: Tensor, class_indices: Tensor) -> Tensor:
        """Return [B, C]: for each row, the value of the lowest node on the path of the image's class that is above it.

        A row that is on the path itself has its own value: of the lowest common ancestor of the row and the class.

        Args:
            values: [B, 1 + L]: of the node above all roots, then of the path's class at each level.
            class_indices: int64 [B].
        """
        own = self.rows[class_indices]
        levels: list[Tensor] = []
        for level, (start, stop) in enumerate(self.bounds):
            parents = values[:, :1].expand(-1, stop - start) if not level else levels[-1][:, self._above(level)]
            rows = own[:, level : level + 1]
            place = (rows - start).clamp(min=0)
            on_path = torch.where(rows >= 0, values[:, level + 1 : level + 2], parents.gather(1, place))
            levels.append(parents.scatter(1, place, on_path))
        return torch.cat(levels, 1)

    def _above(self, level: int) -> Tensor:
        start, stop = self.bounds[level]
        return self.above[start:stop]


def class_heights(order: LevelOrder) -> IntArray:
    """Return int64 [C + 1], by class index: edges from each class down to the farthest class below it.

    The last is that of the node above all roots; if there is one root, it is that root's, which takes its place.
    """
    ancestors = order.ancestors
    levels = (ancestors >= 0).sum(1) - 1
    heights = np.zeros(len(order) + 1, np.int64)
    for level in range(ancestors.shape[1]):
        inside = ancestors[:, level] >= 0
        np.maximum.at(heights, ancestors[inside, level], levels[inside] - level)
    (first, last), *_ = order.bounds
    heights[-1] = heights[:-1].max() + (last - first > 1)
    return heights


def _log_sums(below: Tensor, above: Tensor, own: Tensor) -> Tensor:
    """Return [B, N]: the logarithm of the sum of exp over each row of a level and its children; -inf of nothing.

    Args:
        below: [B, M]: the children's values.
        above: int64 [M]: the place of each child's parent.
        own: [B, N]: the rows' own values.
    """
    index = above.expand(len(below), -1)
    highest = own.scatter_reduce(1, index, below, "amax")
    finite = highest.clamp(min=torch.finfo(highest.dtype).min)  # where there is nothing, -inf - -inf would be NaN
    sums = torch.exp(own - finite).scatter_add(1, index, torch.exp(below - finite[:, above]))
    return finite + sums.log()
