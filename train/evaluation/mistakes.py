"""Mistake distance: the mean tree distance between wrong guesses and the image's class; ours, not the paper's.

To call a dog a cat is a smaller mistake than to call it a car (arXiv 1912.09393). Under every scheme, the guess is the
most probable class of the level of the image's own class, so that schemes can be compared.
"""

import numpy as np
import torch
from torch import Tensor

from in21k.train.model.level_order import LevelOrder
from in21k.tree.hierarchy import ROOT, Hierarchy


class MistakeCounter:
    """Sums the tree distances of wrong guesses, without waiting for the device.

    The distance is the number of edges between two classes in the hierarchy, whose roots share one node above them.
    """

    def __init__(self, hierarchy: Hierarchy, order: LevelOrder, device: torch.device) -> None:
        ancestors = hierarchy.ancestors[order.class_of_row]
        unlike = np.where(ancestors == ROOT, -1 - np.arange(len(ancestors))[:, None], ancestors)
        self._paths = torch.from_numpy(unlike.astype(np.int64)).to(device)  # by row; a missing ancestor equals no other
        self._level_of_row = torch.from_numpy(hierarchy.levels[order.class_of_row].astype(np.int64)).to(device)
        self._row_of_class = torch.from_numpy(order.row_of_class).to(device)
        self.counts = torch.zeros(2, dtype=torch.int64, device=device)
        """int64 [2]: the summed distances, and mistakes; to be summed over ranks."""

    def update(self, logits: Tensor, class_indices: Tensor, valid: Tensor) -> None:
        """Count a batch.

        Args:
            logits: [B, C] in level order.
            class_indices: int64 [B].
            valid: bool [B]; the others do not count.
        """
        rows = self._row_of_class[class_indices]
        level = self._level_of_row[rows]
        others = self._level_of_row[None, :] != level[:, None]
        guesses = logits.masked_fill(others, -torch.inf).argmax(1)
        shared = (self._paths[guesses] == self._paths[rows]).sum(1)  # paths agree from the root on
        wrong = valid & (guesses != rows)
        self.counts += torch.stack([(2 * (level + 1 - shared) * wrong).sum(), wrong.sum()])

    def result(self) -> dict[str, float | None]:
        """Return `mistake_distance` in edges, None without mistakes; this waits for the device."""
        edges, mistakes = self.counts.tolist()
        return {"mistake_distance": edges / mistakes if mistakes else None}
