"""Soft labels: the closer a class is to the image's in the hierarchy, the more of the target it gets.

From "Making Better Mistakes" (arXiv 1912.09393), section 3.2, eq. 5 and 6; a scheme to compare with.
"""

import numpy as np
import torch
from torch import Tensor

from in21k.train.arrays import FloatArray
from in21k.train.losses.row_loss import RowLoss
from in21k.train.model.level_order import LevelOrder
from in21k.train.model.level_tree import LevelTree, class_heights


class SoftLabelsLoss(RowLoss):
    """Cross entropy of one softmax over all classes with the target exp(-β d) / Σ exp(-β d), mean over the batch.

    The distance d of a class from the image's is the height of their lowest common ancestor, as a share of the largest
    one, and 0 of the class itself. So a target has as many values as the image's class has ancestors, and two more: a
    table of C × (L + 2) values takes the place of one of C × C.
    """

    targets: Tensor

    def __init__(self, order: LevelOrder, beta: float) -> None:
        """Keep the targets.

        Args:
            order: the level order of C classes.
            beta: how fast the target falls with the distance; at 0 it is the same for all classes.
        """
        super().__init__(len(order))
        self.tree = LevelTree(order)
        self.register_buffer("targets", torch.from_numpy(soft_targets(order, beta)), persistent=False)

    def add(
        self, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, shares: Tensor, slopes: Tensor | None
    ) -> Tensor:
        """Return the loss of some images and set `slopes` to its gradient: see `RowLoss`."""
        del teacher_logits
        values = self.targets[ids].to(logits.dtype)
        row = self.tree.rows[ids].amax(1, keepdim=True)  # rows grow with the level, so the largest is the class's own
        wanted = self.tree.spread(values[:, :-1], ids).scatter(1, row, values[:, -1:])
        log_total = torch.logsumexp(logits, 1, keepdim=True)
        loss = (shares * (log_total - (wanted * logits).sum(1, keepdim=True))).sum()
        if slopes is not None:
            torch.mul(torch.softmax(logits, 1).sub_(wanted), shares, out=slopes)
        return loss


def soft_targets(order: LevelOrder, beta: float) -> FloatArray:
    """Return float64 [C, L + 2]: the targets of each class by where the lowest common ancestor with another class is.

    First that of classes that share no ancestor, then by the ancestor's level, last that of the class itself.
    """
    ancestors, heights = order.ancestors, class_heights(order)
    inside = ancestors >= 0
    below = np.bincount(ancestors[inside], minlength=len(order))  # classes in the subtree of each
    nodes = np.concatenate([np.full((len(order), 1), len(order)), ancestors], 1)  # -1 picks what `counts` leaves out
    sizes = np.where(nodes >= 0, np.append(below, len(order))[nodes], 1)  # below the class, there is itself
    counts = sizes - np.concatenate([sizes[:, 1:], np.ones((len(order), 1), np.int64)], 1)
    distances = heights[nodes] / max(int(heights[-1]), 1)
    weights = np.where(nodes >= 0, np.exp(-beta * distances), 0)
    total = (counts * weights).sum(1, keepdims=True) + 1
    targets: FloatArray = np.concatenate([weights, np.ones((len(order), 1))], 1) / total
    return targets
