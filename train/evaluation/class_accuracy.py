"""Top-1 by class: how often the most probable class is an image's own, for the images of each class."""

import torch
from torch import Tensor

from in21k.train.model.level_order import LevelOrder


class ClassCounter:
    """Counts the images of each class and those that are recognized, without waiting for the device.

    The guess is the most probable class of all, or of the level of the image's own class.
    """

    def __init__(self, order: LevelOrder, device: torch.device, *, by_level: bool) -> None:
        self._row_of_class = torch.from_numpy(order.row_of_class).to(device)
        self._bounds = order.bounds if by_level else ((0, len(order)),)
        ends = torch.tensor([end for _, end in self._bounds], device=device)
        self._level_of_row = torch.searchsorted(ends, torch.arange(len(order), device=device), right=True)
        self.counts = torch.zeros(2, len(order), dtype=torch.int64, device=device)
        """int64 [2, C], by class index: hits and images; to be summed over ranks."""

    def update(self, logits: Tensor, class_indices: Tensor, valid: Tensor) -> None:
        """Count a batch.

        Args:
            logits: [B, C] in level order.
            class_indices: int64 [B].
            valid: bool [B]; the others do not count.
        """
        rows = self._row_of_class[class_indices]
        guesses = torch.stack([logits[:, start:stop].argmax(1) + start for start, stop in self._bounds], 1)
        hits = guesses.gather(1, self._level_of_row[rows][:, None])[:, 0] == rows
        self.counts.index_add_(1, class_indices, torch.stack([hits & valid, valid]).to(torch.int64))

    def result(self) -> Tensor:
        """Return float64 [C], by class index: 0 to 1, NaN for classes without images; this waits for the device."""
        counts = self.counts.cpu().double()
        return counts[0] / counts[1]
