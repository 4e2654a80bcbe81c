"""Semantic softmax: a softmax with label smoothing per level of the hierarchy (paper, section 3.3, eq. 2).

The paper weights level k by W_k = 1/O_k, where O_k is the number of classes at level k and below. As in the reference
code, the weights here are scaled to O_0/O_k and capped at 20 (`Hierarchy.level_weights`).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from in21k.train.losses.row_loss import RowLoss
from in21k.train.model.level_order import LevelOrder

Slice = tuple[int, int, float]
"""A level's first row, the row after its last one, and its weight W_k."""

Guide = Callable[[int, int, Tensor], tuple[Tensor, Tensor]]
"""What else is learned at a slice: from its first row, the row after its last one, and its softmax [b, N], which it
leaves as it is, a scalar loss and the loss's gradient [b, N], which its caller may change."""


class SoftmaxLoss(RowLoss):
    """The sum over slices of the classifier's rows of a weight times the slice's smoothed cross entropy.

    An image adds zero where its class has no target. Nothing here waits for the device: targets come from a table, and
    all shapes are fixed.
    """

    rows: Tensor
    weights: Tensor

    def __init__(self, slices: tuple[Slice, ...], table: Tensor, smoothing: float) -> None:
        """Keep the targets.

        Args:
            slices: K slices of the rows, in order.
            table: int64 [C, K]: the target of each class index within each slice, -1 where it has none.
            smoothing: share of a target that is spread over all classes of its slice.
        """
        super().__init__(max((stop - start for start, stop, _ in slices), default=1))
        self.slices, self.smoothing = slices, smoothing
        ends = [0, *(stop for _, stop, _ in slices)]
        starts = [*(start for start, _, _ in slices), len(table)]
        self.between = tuple((end, start) for end, start in zip(ends, starts, strict=True) if end < start)
        rows = torch.where(table >= 0, table + torch.tensor(starts[:-1]), -1)  # int64 [C, K]
        self.register_buffer("rows", rows, persistent=False)
        weights = torch.tensor([weight for _, _, weight in slices], dtype=torch.float64)  # [K]
        self.register_buffer("weights", weights, persistent=False)

    def add(
        self, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, shares: Tensor, slopes: Tensor | None
    ) -> Tensor:
        """Return the loss of some images and set `slopes` to its gradient: see `RowLoss`."""
        del teacher_logits
        return self.add_guided(logits, ids, shares, slopes, None)

    def add_guided(
        self, logits: Tensor, ids: Tensor, shares: Tensor, slopes: Tensor | None, guide: Guide | None
    ) -> Tensor:
        """Return the loss of some images plus what a guide adds at each slice, and set `slopes` to the gradient."""
        rows = self.rows[ids]  # [b, K]
        weights = torch.where(rows >= 0, shares, 0) * self.weights.to(shares.dtype)  # of the images at each slice
        rows = rows.clamp(min=0)
        if slopes is not None:
            for start, stop in self.between:
                slopes[:, start:stop] = 0
        guided = logits.new_zeros(())
        terms = [logits[:, :0]]
        for number, (start, stop, _) in enumerate(self.slices):
            level, weight = logits[:, start:stop], weights[:, number : number + 1]
            probs = torch.softmax(level, 1)
            log_total = level.amax(1, keepdim=True) - probs.amax(1, keepdim=True).log()  # of the exponentials
            terms.append(log_total - self.smoothing * level.mean(1, keepdim=True))
            gradient = None
            if guide is not None:
                value, gradient = guide(start, stop, probs)
                guided = guided + value
            if slopes is not None:  # softmax - smoothed target, which lacks the part of the image's own class
                own = probs.mul_(weight).sub_(weight * (self.smoothing / (stop - start)))
                slopes[:, start:stop] = own if gradient is None else gradient.add_(own)
        if slopes is not None:
            slopes.scatter_add_(1, rows, weights * (self.smoothing - 1))
        losses = torch.cat(terms, 1) - (1 - self.smoothing) * logits.gather(1, rows)
        return guided + (weights * losses).sum()


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
