"""Multi label: a sigmoid per class (paper, section 3.2, eq. 1), with the asymmetric loss (arXiv 2009.14119).

An image's labels are its class and all ancestors of the class.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from in21k.train.arrays import IntArray
from in21k.train.config.settings import LossConfig
from in21k.train.data.interfaces import ABSENT
from in21k.train.errors import TrainError
from in21k.train.losses.row_loss import RowLoss
from in21k.train.model.level_order import LevelOrder


def label_rows(order: LevelOrder, label_sets: IntArray) -> Tensor:
    """Return the labels in label sets, int64 [N, K], as classifier rows padded with -1."""
    rows = np.where(label_sets < 0, -1, order.row_of_class[label_sets.clip(min=0)])
    return torch.from_numpy(rows.astype(np.int64))


def absent_rows(order: LevelOrder, label_sets: IntArray) -> Tensor | None:
    """Return the classes that label sets know to be absent, int64 [N, K], as classifier rows padded with -1.

    None where they are those that are no labels, and nothing is unknown.
    """
    if not (label_sets < -1).any():
        return None
    return label_rows(order, np.where(label_sets < -1, ABSENT - label_sets, -1))


class AsymmetricLoss(RowLoss):
    """The asymmetric focal loss, summed over classes, mean over images.

    With p the probability of a class and p_m = max(p - clip, 0), a label adds (1 - p)^γ+ · -log p, and every other
    class p_m^γ- · -log(1 - p_m): "Asymmetric Loss For Multi-Label Classification", Ridnik et al. 2021, eq. 7. With both
    γ and clip at 0 it is binary cross entropy. The gradient is that of this formula; the reference code can leave the
    focusing factors out of it. Where the label sets say which classes are absent, the others that are no labels are
    unknown, and add nothing.
    """

    table: Tensor
    absent: Tensor | None

    def __init__(self, order: LevelOrder, label_sets: IntArray, config: LossConfig) -> None:
        """Keep the labels of each id.

        Args:
            order: the level order of C classes.
            label_sets: int64 [N, K]: the class indices of each id, padded with -1.
            config: both γ and clip.

        Raises:
            TrainError: a γ lies between 0 and 1, where the gradient is unbounded.
        """
        super().__init__(2 * len(order))  # it takes more of a block's size at once than other losses do
        self.gamma_negative, self.gamma_positive, self.clip = config.gamma_negative, config.gamma_positive, config.clip
        for name in ("gamma_negative", "gamma_positive"):
            if 0 < (gamma := getattr(self, name)) < 1:
                raise TrainError(f"loss.{name}={gamma} lies between 0 and 1; use 0, or at least 1")
        self.register_buffer("table", label_rows(order, label_sets), persistent=False)  # int64 [N, K]
        self.register_buffer("absent", absent_rows(order, label_sets), persistent=False)  # likewise, or None

    def add(
        self, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, shares: Tensor, slopes: Tensor | None
    ) -> Tensor:
        """Return the loss of some images and set `slopes` to its gradient: see `RowLoss`."""
        del teacher_logits
        if self.absent is not None:
            return self._add_known(logits, self.absent[ids], ids, shares, slopes)
        losses, gradient = self._negative(logits)
        rows = self.table[ids]  # [b, K]: labels are few, so each is corrected by itself, without [b, C] targets
        at = rows.clamp(min=0)
        as_label, label_gradient = self._positive(logits.gather(1, at))
        label_shares = torch.where(rows >= 0, shares, 0)
        loss = (losses.sum(1, keepdim=True) * shares).sum()
        loss = loss + (label_shares * (as_label - losses.gather(1, at))).sum()
        if slopes is not None:
            corrections = label_shares * (label_gradient - gradient.gather(1, at))
            torch.mul(gradient, shares, out=slopes).scatter_add_(1, at, corrections)
        return loss

    def _add_known(self, logits: Tensor, absent: Tensor, ids: Tensor, shares: Tensor, slopes: Tensor | None) -> Tensor:
        """Do as `add` with the labels and the classes known to be absent, int64 [b, K], alone."""
        if slopes is not None:
            slopes.zero_()
        loss = logits.new_zeros(())
        for rows, losses_of in ((self.table[ids], self._positive), (absent, self._negative)):
            at = rows.clamp(min=0)
            losses, gradient = losses_of(logits.gather(1, at))
            own_shares = torch.where(rows >= 0, shares, 0)
            loss = loss + (own_shares * losses).sum()
            if slopes is not None:
                slopes.scatter_add_(1, at, own_shares * gradient)
        return loss

    def _positive(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each logit of a label, and its derivative."""
        losses, other = -F.logsigmoid(logits), torch.sigmoid(-logits)
        if not self.gamma_positive:
            return losses, -other
        focus = _power(other, self.gamma_positive)
        return focus * losses, -focus * (self.gamma_positive * torch.sigmoid(logits) * losses + other)

    def _negative(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each logit of a class that is no label, and its derivative."""
        other = torch.sigmoid(-logits)  # 1 - p
        slope = torch.addcmul(other, other, other, value=-1)  # p (1 - p), the derivative of p_m where that is above 0
        if self.clip:
            p_m = torch.rsub(other, 1 - self.clip).clamp_(min=0)
            rest = other.add_(self.clip).clamp_(max=1)  # 1 - p_m
            losses = rest.log().neg_()
            gradient = torch.div(slope, rest, out=rest)
        else:
            p_m = torch.sigmoid(logits)
            losses = F.logsigmoid(-logits).neg_()
            gradient = p_m.clone()
        if not self.gamma_negative:
            return losses, gradient.mul_(p_m > 0)
        gradient.mul_(p_m).addcmul_(slope, losses, value=self.gamma_negative)
        focus = _power(p_m, self.gamma_negative - 1)
        gradient.mul_(focus)
        return losses.mul_(focus).mul_(p_m), gradient


def _power(base: Tensor, exponent: float) -> Tensor:
    """Return a power; a whole exponent takes multiplications alone, which are many times as fast."""
    if exponent != int(exponent):
        return base**exponent
    result: Tensor | None = None
    square, left = base, int(exponent)
    while left:
        if left & 1:
            result = square if result is None else result * square
        left >>= 1
        square = square * square if left else square
    return torch.ones_like(base) if result is None else result
