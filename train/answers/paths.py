"""The path through the hierarchy that a model answers with, and where on it the answer stops."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from in21k.train.answers.distribution import TreeDistribution
from in21k.train.model.level_order import LevelOrder

CONFIDENCE = 0.5
"""An answer goes down to the last class that is at least this probable: by default one that is as probable as all that
speaks against it. More probable classes than that all lie on one path, and the best path leads through them."""


class Paths(NamedTuple):
    """The best path for each image of a batch, from a root down."""

    rows: Tensor
    """int64 [B, L]: the classifier row at each level, -1 below the path's end."""
    probabilities: Tensor
    """float64 [B, L]: of each class on the path or anything below it, descending; 0 below the path's end."""

    def answered(self, confidence: float) -> Tensor:
        """Return int64 [B]: how many classes of the path, from the root down, are at least as probable as this."""
        return ((self.rows >= 0) & (self.probabilities >= confidence)).sum(1)


class PathFinder(nn.Module):
    """Finds the best path: from the roots on, the most probable child, with all that is below it.

    Where classes have a probability of their own, the path ends at one that is more probable than its best child.
    """

    def __init__(self, order: LevelOrder, scheme: str) -> None:
        """Prepare for logits of a scheme: see `TreeDistribution`."""
        super().__init__()
        self.distribution = TreeDistribution(order, scheme)

    def forward(self, logits: Tensor) -> Paths:
        """Return the paths for logits [B, C] in level order; nothing waits for the device."""
        found, tree = self.distribution(logits), self.distribution.tree
        least = torch.full((len(logits), 1), -torch.inf, dtype=torch.float64, device=logits.device)
        place = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        rows, probabilities = [], []
        for start, stop in tree.bounds:
            children = tree.above[start:stop] == place[:, None]  # below -1, where a path has ended, there is none
            best = found.subtree[:, start:stop].masked_fill(~children, -torch.inf).max(1, keepdim=True)
            goes_on = (best.values > -torch.inf) & (best.values >= least)
            row = best.indices + start
            rows.append(torch.where(goes_on, row, -1))
            probabilities.append(torch.where(goes_on, best.values.exp(), 0))
            place = torch.where(goes_on, best.indices, -1)[:, 0]
            if found.own is not None:
                least = found.own.gather(1, row)
        return Paths(torch.cat(rows, 1), torch.cat(probabilities, 1))
