"""Top-1 and top-5: how often an image's class is among the most probable of all classes."""

import torch
from torch import Tensor

from in21k.train.model.level_order import LevelOrder

KS = (1, 5)


class TopKCounter:
    """Counts images whose class is among the k most probable, without waiting for the device.

    Classes with equal logits rank in the order of the classifier rows, so ties do not depend on the device.
    """

    def __init__(self, order: LevelOrder, device: torch.device) -> None:
        self._row_of_class = torch.from_numpy(order.row_of_class).to(device)
        self.counts = torch.zeros(len(KS) + 1, dtype=torch.int64, device=device)
        """int64 [3]: hits at 1 and at 5, and images; to be summed over ranks."""

    def update(self, logits: Tensor, class_indices: Tensor, valid: Tensor) -> None:
        """Count a batch.

        Args:
            logits: [B, C] in level order.
            class_indices: int64 [B].
            valid: bool [B]; the others do not count.
        """
        rows = self._row_of_class[class_indices][:, None]
        own = logits.gather(1, rows)
        earlier = torch.arange(logits.shape[1], device=logits.device) < rows
        above = ((logits > own) | ((logits == own) & earlier)).sum(1)
        self.counts += torch.stack([*((valid & (above < k)).sum() for k in KS), valid.sum()])

    def result(self) -> dict[str, float]:
        """Return `top1` and `top5`, 0 to 1; this waits for the device."""
        *hits, images = self.counts.tolist()
        return {f"top{k}": hit / images if images else 0.0 for k, hit in zip(KS, hits, strict=True)}
