"""Single label: one softmax over all classes, cross entropy with label smoothing (paper, section 3.1)."""

import torch

from in21k.train.losses.semantic_softmax import SoftmaxLoss
from in21k.train.model.level_order import LevelOrder


class SingleLabelLoss(SoftmaxLoss):
    """Smoothed cross entropy with an image's own class as its target; its ancestors count as wrong."""

    def __init__(self, order: LevelOrder, smoothing: float) -> None:
        rows = torch.from_numpy(order.row_of_class)  # int64 [C]
        super().__init__(((0, len(rows), 1.0),), rows[:, None], smoothing)
