"""Semantic softmax: a softmax with label smoothing per level of the hierarchy (paper, section 3.3, eq. 2).

The paper weights level k by W_k = 1/O_k, where O_k is the number of classes at level k and below. As in the reference
code, the weights here are scaled to O_0/O_k and capped at 20 (`Hierarchy.level_weights`).
"""

from typing import Any

import torch
from torch import Tensor, nn

from in21k.train.model.level_order import LevelOrder

Slice = tuple[int, int, float]
"""A level's first row, the row after its last one, and its weight W_k."""


class SemanticSoftmaxLoss(nn.Module):
    """The sum over active levels of W_k times the level's smoothed cross entropy, mean over the batch.

    An image adds zero at levels where its class has no ancestor, and everywhere if it is not valid; it still counts in
    the mean. Nothing here waits for the device: targets come from a table, and all shapes are fixed.
    """

    table: Tensor

    def __init__(self, order: LevelOrder, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.levels: tuple[Slice, ...] = tuple((*order.bounds[level], order.weights[level]) for level in order.active)
        targets = torch.from_numpy(order.targets[:, list(order.active)])
        self.register_buffer("table", targets, persistent=False)  # int64 [C, K], -1 where a class has no ancestor

    def forward(self, logits: Tensor, class_indices: Tensor, valid: Tensor) -> Tensor:
        """Return the loss, a float32 scalar (float64 for float64 logits).

        Args:
            logits: [B, C] in level order, any float type.
            class_indices: int64 [B]; class indices also where not valid.
            valid: bool [B].
        """
        targets = torch.where(valid[:, None], self.table[class_indices], -1)
        loss: Tensor = _SemanticSoftmax.apply(logits, targets, self.levels, self.smoothing)
        return loss


class _SemanticSoftmax(torch.autograd.Function):
    """Computes the gradient, softmax - smoothed target, with the value, from the same exponentials."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, levels: tuple[Slice, ...], smoothing: float) -> Tensor:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        loss = logits.new_zeros((), dtype=dtype)
        # A gradient of float16 would lose what the loss scale is there to keep, so it stays wide until it is scaled.
        kept = dtype if logits.dtype == torch.float16 else logits.dtype
        gradient = torch.zeros_like(logits, dtype=kept) if ctx.needs_input_grad[0] else None
        for column, (start, stop, weight) in enumerate(levels):
            target = targets[:, column : column + 1]
            share = (target >= 0).to(dtype) * (weight / len(logits))  # [B, 1]: the weight of the image in the loss
            index = target.clamp(min=0)
            level = logits[:, start:stop]
            largest = level.amax(1, keepdim=True).to(dtype)
            probs = torch.sub(level, largest).exp_()  # not yet divided by their sum
            total = probs.sum(1, keepdim=True)
            hard = level.gather(1, index) - largest
            smooth = level.mean(1, keepdim=True, dtype=dtype) - largest
            loss -= (share * ((1 - smoothing) * hard + smoothing * smooth - total.log())).sum()
            if gradient is not None:
                probs.mul_(share / total).sub_(share * (smoothing / (stop - start)))
                gradient[:, start:stop] = probs.scatter_add_(1, index, share * (smoothing - 1))
        if gradient is not None:
            ctx.save_for_backward(gradient)
            ctx.logits_dtype = logits.dtype
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * outputs[0].to(gradient.dtype)).to(ctx.logits_dtype), None, None, None
