"""Hierarchical cross entropy: the cross entropy of each step down the hierarchy, the deeper the lighter.

From "Making Better Mistakes" (arXiv 1912.09393), section 3.1, eq. 1 to 4; a scheme to compare with.
"""

import torch
from torch import Tensor

from in21k.train.losses.row_loss import RowLoss
from in21k.train.model.level_order import LevelOrder
from in21k.train.model.level_tree import LevelTree


class HierarchicalCrossEntropyLoss(RowLoss):
    """The sum over the steps to an image's class of λ · -log p(node | node above), mean over the batch.

    The probability of a node is the sum of one softmax over all classes of its subtree, and the node above all roots
    has probability 1. A step that ends d edges below it weighs λ = exp(-α d): the paper's λ(C), with the distance from
    the root, as its code has it, where its weights are also scaled to sum to 1 over the tree. An inner class that has
    images takes one more step: from its subtree to itself. At α = 0 all this is the cross entropy of the softmax.
    """

    weights: Tensor

    def __init__(self, order: LevelOrder, alpha: float) -> None:
        """Keep the weights.

        Args:
            order: the level order of C classes.
            alpha: how fast the weights fall from level to level.
        """
        super().__init__(len(order))
        self.tree = LevelTree(order)
        depths = torch.arange(1, len(order.bounds) + 2, dtype=torch.float64)
        self.register_buffer("weights", torch.exp(-alpha * depths), persistent=False)  # of steps 1 to L + 1

    def add(
        self, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, shares: Tensor, slopes: Tensor | None
    ) -> Tensor:
        """Return the loss of some images and set `slopes` to its gradient: see `RowLoss`."""
        del teacher_logits
        weights = self.weights.to(logits.dtype)
        rows = self.tree.rows[ids]  # [b, L]
        row = rows.amax(1, keepdim=True)  # rows grow with the level, so the largest is the class's own
        total = torch.logsumexp(logits, 1, keepdim=True)
        on_path = self.tree.log_sums(logits).gather(1, torch.where(rows >= 0, rows, row))
        sums = torch.cat([total, on_path], 1)  # [b, 1 + L]: of the node above all, of each node; then of the class
        own = logits.gather(1, row)
        steps = (sums[:, :-1] - sums[:, 1:]) * weights[:-1]  # below the class, sums stay as they are
        last = weights[(rows >= 0).sum(1, keepdim=True)]  # [b, 1]: of the step from its subtree to the class
        loss = (shares * (steps.sum(1, keepdim=True) + last * (sums[:, -1:] - own))).sum()
        if slopes is not None:
            factors = _factors(sums, weights)
            spread = self.tree.spread(torch.cat([sums, factors], 0), torch.cat([ids, ids]))
            nearest, factor = spread.chunk(2)
            torch.mul(torch.exp(logits - nearest).mul_(factor), shares, out=slopes)
            slopes.scatter_add_(1, row, -last * shares)
        return loss


def _factors(sums: Tensor, weights: Tensor) -> Tensor:
    """Return [b, 1 + L]: the derivative by a logit, as a multiple of its class's share in the lowest node around both.

    Every node around a class is the end of one step and the start of the next. A class's share in a node is its share
    in a lower one, times the lower one's, which is never above 1.
    """
    factors = [weights[0].expand(len(sums), 1)]
    for level in range(1, sums.shape[1]):
        share = torch.exp(sums[:, level : level + 1] - sums[:, level - 1 : level])
        factors.append(factors[-1] * share + (weights[level] - weights[level - 1]))
    return torch.cat(factors, 1)
