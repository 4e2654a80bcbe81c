"""Semantic softmax: a softmax with label smoothing per level of the hierarchy (paper, section 3.3, eq. 2).

The paper weights level k by W_k = 1/O_k, where O_k is the number of classes at level k and below. As in the reference
code, the weights here are scaled to O_0/O_k and capped at 20 (`Hierarchy.level_weights`).
"""

import torch
from torch import Tensor

from in21k.train.losses.row_loss import RowLoss
from in21k.train.model.level_order import LevelOrder

Slice = tuple[int, int, float]
"""A level's first row, the row after its last one, and its weight W_k."""


class SoftmaxLoss(RowLoss):
    """The sum over slices of the classifier's rows of a weight times the slice's smoothed cross entropy.

    An image adds zero where its class has no target. Nothing here waits for the device: targets come from a table, and
    all shapes are fixed.
    """

    table: Tensor

    def __init__(self, slices: tuple[Slice, ...], table: Tensor, smoothing: float) -> None:
        """Keep the targets.

        Args:
            slices: K slices of the rows, in order.
            table: int64 [C, K]: the target of each class index within each slice, -1 where it has none.
            smoothing: share of a target that is spread over all classes of its slice.
        """
        super().__init__()
        self.slices, self.smoothing = slices, smoothing
        ends = [0, *(stop for _, stop, _ in slices)]
        starts = [*(start for start, _, _ in slices), len(table)]
        self.between = tuple((end, start) for end, start in zip(ends, starts, strict=True) if end < start)
        self.register_buffer("table", table, persistent=False)

    def add(
        self, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, shares: Tensor, slopes: Tensor | None
    ) -> Tensor:
        """Return the loss of some images and set `slopes` to its gradient: see `RowLoss`."""
        del teacher_logits
        loss = logits.new_zeros(())
        targets = self.table[ids]  # [b, K]
        weights = torch.where(targets >= 0, shares, 0)
        targets = targets.clamp(min=0)
        if slopes is not None:
            for start, stop in self.between:
                slopes[:, start:stop] = 0
        for column, (start, stop, weight) in enumerate(self.slices):
            level, target = logits[:, start:stop], targets[:, column : column + 1]
            share = weights[:, column : column + 1] * weight  # [b, 1]: the weight of the image at this level
            probs = torch.softmax(level, 1)
            log_total = level.amax(1, keepdim=True) - probs.amax(1, keepdim=True).log()  # of the exponentials
            hard, smooth = level.gather(1, target), level.mean(1, keepdim=True)
            loss = loss + (share * (log_total - (1 - self.smoothing) * hard - self.smoothing * smooth)).sum()
            if slopes is not None:  # softmax - smoothed target
                probs.mul_(share).sub_(share * (self.smoothing / (stop - start)))
                slopes[:, start:stop] = probs.scatter_add_(1, target, share * (self.smoothing - 1))
        return loss


class SemanticSoftmaxLoss(SoftmaxLoss):
    """The sum over active levels of W_k times the level's smoothed cross entropy, mean over the batch.

    An image adds zero at levels where its class has no ancestor, and everywhere if it is not valid; it still counts in
    the mean.
    """

    def __init__(self, order: LevelOrder, smoothing: float) -> None:
        targets = torch.from_numpy(order.targets[:, list(order.active)])  # int64 [C, K], -1 where there is no ancestor
        super().__init__(
            tuple((*order.bounds[level], order.weights[level]) for level in order.active), targets, smoothing
        )
