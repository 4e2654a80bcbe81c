"""Multi label: a sigmoid per class (paper, section 3.2, eq. 1), with the asymmetric loss (arXiv 2009.14119).

An image's labels are its class and all ancestors of the class.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from in21k.train.arrays import IntArray
from in21k.train.config.settings import LossConfig
from in21k.train.errors import TrainError
from in21k.train.model.level_order import LevelOrder


def label_rows(order: LevelOrder, label_sets: IntArray) -> Tensor:
    """Return label sets, int64 [N, K] of class indices padded with -1, as classifier rows padded with -1."""
    rows = np.where(label_sets < 0, -1, order.row_of_class[label_sets])
    return torch.from_numpy(rows.astype(np.int64))


class AsymmetricLoss(nn.Module):
    """The asymmetric focal loss, summed over classes, mean over images.

    With p the probability of a class and p_m = max(p - clip, 0), a label adds (1 - p)^γ+ · -log p, and every other
    class p_m^γ- · -log(1 - p_m): "Asymmetric Loss For Multi-Label Classification", Ridnik et al. 2021, eq. 7. With both
    γ and clip at 0 it is binary cross entropy. The gradient is that of this formula; the reference code can leave the
    focusing factors out of it.
    """

    table: Tensor

    def __init__(self, order: LevelOrder, label_sets: IntArray, config: LossConfig) -> None:
        """Keep the labels of each id.

        Args:
            order: the level order of C classes.
            label_sets: int64 [N, K]: the class indices of each id, padded with -1.
            config: both γ and clip.

        Raises:
            TrainError: a γ lies between 0 and 1, where the gradient is unbounded.
        """
        super().__init__()
        self.gamma_negative, self.gamma_positive, self.clip = config.gamma_negative, config.gamma_positive, config.clip
        for name in ("gamma_negative", "gamma_positive"):
            if 0 < (gamma := getattr(self, name)) < 1:
                raise TrainError(f"loss.{name}={gamma} lies between 0 and 1; use 0, or at least 1")
        self.register_buffer("table", label_rows(order, label_sets), persistent=False)  # int64 [N, K]

    def forward(self, logits: Tensor, ids: Tensor, valid: Tensor) -> Tensor:
        """Return the loss, a float32 scalar (float64 for float64 logits).

        Args:
            logits: [B, C] in level order, any float type.
            ids: int64 [B]; rows of the label sets also where not valid.
            valid: bool [B].
        """
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        rows = self.table[ids]  # [B, K]: labels are few, so each is corrected by itself, without [B, C] targets
        labeled = wide.gather(1, rows.clamp(min=0))
        corrections = self._positive(labeled) - self._negative(labeled)
        labels = torch.where(rows >= 0, corrections, 0).sum(1)
        return torch.where(valid, self._negative(wide).sum(1) + labels, 0).sum() / len(logits)

    def _positive(self, logits: Tensor) -> Tensor:
        losses = -F.logsigmoid(logits)
        return losses * torch.sigmoid(-logits) ** self.gamma_positive if self.gamma_positive else losses

    def _negative(self, logits: Tensor) -> Tensor:
        losses = -(torch.sigmoid(-logits) + self.clip).clamp(max=1).log() if self.clip else -F.logsigmoid(-logits)
        if not self.gamma_negative:
            return losses
        return losses * (torch.sigmoid(logits) - self.clip).clamp(min=0) ** self.gamma_negative
