"""Single label: one softmax over all classes, cross entropy with label smoothing (paper, section 3.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from in21k.train.model.level_order import LevelOrder


class SingleLabelLoss(nn.Module):
    """Smoothed cross entropy with an image's own class as its target; its ancestors count as wrong."""

    row_of_class: Tensor

    def __init__(self, order: LevelOrder, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.register_buffer("row_of_class", torch.from_numpy(order.row_of_class), persistent=False)  # int64 [C]

    def forward(self, logits: Tensor, class_indices: Tensor, valid: Tensor) -> Tensor:
        """Return the loss, a float32 scalar (float64 for float64 logits).

        Args:
            logits: [B, C] in level order, any float type.
            class_indices: int64 [B]; class indices also where not valid.
            valid: bool [B].
        """
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        rows = self.row_of_class[class_indices]
        losses = F.cross_entropy(wide, rows, reduction="none", label_smoothing=self.smoothing)
        return torch.where(valid, losses, 0).sum() / len(logits)
