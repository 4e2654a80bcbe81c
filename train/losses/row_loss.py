"""Losses that are sums over images and know their gradient: both come from one pass over the logits, block by block.

A block of rows, or a level of it, stays in a CPU's cache while the loss goes over it several times. On other devices,
and where `torch.compile` fuses the steps, the whole batch is one block.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_BLOCK = 1 << 19
"""Logits of a block that a loss goes over at once: 2 MiB in float32."""


class MixedLabels(NamedTuple):
    """What makes mixtures of the images of a batch, in pairs."""

    ids: Tensor
    """int64 [B]: of the image that is mixed into each."""
    shares: Tensor
    """float32 [B], 0 to 1: what each has of its own image; the rest is the other's."""


class RowLoss(nn.Module):
    """A loss that is the mean over the images of a batch; images that are not valid add zero and count in the mean.

    What it keeps for the backward pass is its gradient: in float32 for float16 logits, whose range is too small for a
    gradient that a loss scale has not multiplied yet, else of the logits' type.
    """

    def __init__(self, width: int) -> None:
        """Keep how many of an image's logits the loss goes over at once, at most, which says how many rows fit."""
        super().__init__()
        self.width = width

    def forward(
        self,
        logits: Tensor,
        ids: Tensor,
        valid: Tensor,
        teacher_logits: Tensor | None = None,
        mixed: MixedLabels | None = None,
    ) -> Tensor:
        """Return the loss, a float32 scalar (float64 for float64 logits).

        Args:
            logits: [B, C] in level order, any float type.
            ids: int64 [B]: class indices, or rows of the label sets in a multi-label scheme; also where not valid.
            valid: bool [B].
            teacher_logits: [B, C] in level order; only distilling schemes use them.
            mixed: where images are mixtures: the loss of each is that of its own labels and that of the other's, by
                their shares.
        """
        with torch.no_grad():
            wide = torch.promote_types(logits.dtype, torch.float32)
            shares = valid.to(wide) / len(logits)
            is_half = logits.dtype == torch.float16
            gradient = torch.empty_like(logits, dtype=wide if is_half else None) if logits.requires_grad else None
            value = logits.new_zeros((), dtype=wide)
            for rows in _blocks(logits, self.width):
                student = logits[rows].to(wide)
                teacher = None if teacher_logits is None else teacher_logits[rows].to(wide)
                slopes = None if gradient is None else gradient[rows].to(wide)  # a view where the type is the same
                if mixed is None:
                    value += self.add(student, teacher, ids[rows], shares[rows, None], slopes)
                else:
                    own = MixedLabels(mixed.ids[rows], mixed.shares[rows].to(wide)[:, None])
                    value += self._add_mixed(student, teacher, (ids[rows], shares[rows, None]), own, slopes)
                if gradient is not None and slopes is not None and gradient.dtype != wide:
                    gradient[rows] = slopes
        if gradient is None:
            return value
        loss: Tensor = _WithGradient.apply(logits, value, gradient)
        return loss

    def _add_mixed(
        self,
        logits: Tensor,
        teacher_logits: Tensor | None,
        labels: tuple[Tensor, Tensor],
        mixed: MixedLabels,
        slopes: Tensor | None,
    ) -> Tensor:
        """Do as `add` for mixtures, given ids and shares of the images, and of what is mixed, [b] and [b, 1].

        What does not depend on labels, as a teacher's part, is the sum of two parts of itself.
        """
        ids, shares = labels
        loss = self.add(logits, teacher_logits, ids, shares * mixed.shares, slopes)
        others = None if slopes is None else torch.empty_like(slopes)
        loss = loss + self.add(logits, teacher_logits, mixed.ids, shares * (1 - mixed.shares), others)
        if slopes is not None and others is not None:
            slopes += others
        return loss

    @abstractmethod
    def add(
        self, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, shares: Tensor, slopes: Tensor | None
    ) -> Tensor:
        """Return the loss of some images, a scalar, and set `slopes` to its gradient.

        Args:
            logits: [b, C], float32 or float64, as are all others but `ids`; not to be changed.
            teacher_logits: [b, C], or None.
            ids: int64 [b].
            shares: [b, 1]: the weight of each image.
            slopes: [b, C], whatever is in them; None where no gradient is wanted.
        """


class _WithGradient(torch.autograd.Function):
    """A value with a gradient that is known already."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.dtype = logits.dtype
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        if outputs[0].device.type == "cpu" and not torch.compiler.is_compiling() and outputs[0] == 1:
            return gradient.to(ctx.dtype), None, None  # nothing scales the loss: a pass less over the logits
        return (gradient * outputs[0].to(gradient.dtype)).to(ctx.dtype), None, None


def _blocks(logits: Tensor, width: int) -> Iterator[slice]:
    size = len(logits)
    is_whole = logits.device.type != "cpu" or torch.compiler.is_compiling()
    blocks = 1 if is_whole else math.ceil(size / max(1, _BLOCK // width))
    rows = math.ceil(size / max(1, blocks))  # blocks of about the same size
    for start in range(0, size, max(1, rows)):
        yield slice(start, start + rows)
