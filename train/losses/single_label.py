"""Single label: one softmax over all classes, cross entropy with label smoothing (paper, section 3.1)."""

import torch

from in21k.train.losses.semantic_softmax import SoftmaxLoss
from in21k.train.model.level_order import LevelOrder


class SingleLabelLoss(SoftmaxLoss):
    """Smoothed cross entropy with an image's own class as its target; its ancestors count as wrong.

    With p the softmax over all C rows, t the image's class and s the smoothing, an image adds
    -(1 - s) log p_t - s/C Σ log p_c.
    """

    def __init__(self, order: LevelOrder, smoothing: float) -> None:
        """Keep the row of each class: all rows of the classifier are one slice, of weight 1.

        Args:
            order: the level order of C classes.
            smoothing: share of the target that is spread evenly over all C classes, 0 to 1.
        """
        rows = torch.from_numpy(order.row_of_class)  # int64 [C]
        slices = ((0, len(rows), 1.0),)
        super().__init__(slices, rows[:, None], smoothing)

    @property
    def row_of_class(self) -> torch.Tensor:
        """int64 [C]: the row of each class index."""
        return self.rows[:, 0]
