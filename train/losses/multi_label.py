"""Multi label: a sigmoid a class, with the asymmetric loss (arXiv 2009.14119; paper, section 3.1.2).

An image's labels are its class and all the ancestors of it.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from in21k.train.errors import TrainError
from in21k.train.model.level_order import LevelOrder


def label_rows(order: LevelOrder, label_sets: npt.NDArray[np.int64]) -> Tensor:
    """Return label sets, int64 [N, K] of class indices padded with -1, as rows of the classifier, padded with -1."""
    rows = np.where(label_sets < 0, -1, order.row_of_class[label_sets])
    return torch.from_numpy(rows.astype(np.int64))


class AsymmetricLoss(nn.Module):
    """The sum over classes of the asymmetric focal loss, the mean over images.

    With p the probability of a class and p_m = max(p - clip, 0), a label adds (1 - p)^γ+ · -log p, and every other
    class p_m^γ- · -log(1 - p_m) (ASL, eq. 7). With both γ and clip at 0 it is the binary cross entropy. Its gradient is
    that of this formula; the authors' code can leave the focusing factors out of it.
    """

    table: Tensor

    def __init__(
        self,
        order: LevelOrder,
        label_sets: npt.NDArray[np.int64],
        gamma_negative: float,
        gamma_positive: float,
        clip: float,
    ) -> None:
        """Keep the labels of each id.

        Raises:
            TrainError: a γ lies between 0 and 1, where the gradient has no bound.
        """
        super().__init__()
        for name, gamma in (("gamma_negative", gamma_negative), ("gamma_positive", gamma_positive)):
            if 0 < gamma < 1:
                raise TrainError(f"loss.{name}={gamma} lies between 0 and 1; name 0, or 1 and more")
        self.gamma_negative, self.gamma_positive, self.clip = gamma_negative, gamma_positive, clip
        self.register_buffer("table", label_rows(order, label_sets), persistent=False)  # int64 [N, K]

    def forward(self, logits: Tensor, ids: Tensor, valid: Tensor) -> Tensor:
        """Return the loss, a scalar of float32 (float64 for float64 logits).

        Args:
            logits: [B, C] in level order, any float type.
            ids: int64 [B], each a row of the label sets, also where not valid.
            valid: bool [B].
        """
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        rows = self.table[ids]  # [B, K]: labels are few, so they are corrected one by one; no [B, C] of targets
        labelled = wide.gather(1, rows.clamp(min=0))
        corrections = self._positive(labelled) - self._negative(labelled)
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
