"""The mean distance of the best k classes, as "Making Better Mistakes" has it (arXiv 1912.09393, section 4).

The distance of two classes is the height of their lowest common ancestor: the edges from there down to the farthest
class below it. `mistake_distance` counts the edges between the two instead, of wrong answers alone.
"""

import torch
from torch import Tensor

from in21k.train.model.level_order import LevelOrder
from in21k.train.model.level_tree import LevelTree, class_heights

KS = (1, 5, 20)


class BestDistanceCounter:
    """Sums the distances of the best classes of the level of the image's own class, without waiting for the device.

    So they can be compared between schemes, as mistake distances can. A right answer has distance 0. All roots stand
    below one node. A level with fewer classes than k counts with those that it has.
    """

    def __init__(self, order: LevelOrder, device: torch.device) -> None:
        self._tree = LevelTree(order).to(device)
        heights = torch.from_numpy(class_heights(order))
        by_row = torch.cat([heights[:-1][torch.from_numpy(order.class_of_row)], heights[-1:]])
        self._heights = by_row.to(device)  # int64 [C + 1]: of each row, and of the node above all
        self._rows = self._tree.rows[torch.from_numpy(order.class_of_row).to(device)]  # [C, L], by row
        self._level_of_row = (self._rows >= 0).sum(1) - 1
        self._best = min(max(KS), len(order))
        self.counts = torch.zeros(2, len(KS), dtype=torch.int64, device=device)
        """int64 [2, 3]: the summed distances of the best 1, 5 and 20, and how many; to be summed over ranks."""

    def update(self, logits: Tensor, class_indices: Tensor, valid: Tensor) -> None:
        """Count a batch.

        Args:
            logits: [B, C] in level order.
            class_indices: int64 [B].
            valid: bool [B]; the others do not count.
        """
        own = self._tree.rows[class_indices]
        level = (own >= 0).sum(1, keepdim=True) - 1
        rivals = logits.masked_fill(self._level_of_row != level, -torch.inf)
        best = rivals.topk(self._best, 1).indices  # [B, K]
        rows = self._rows[best]  # [B, K, L]
        shared = ((rows == own[:, None]) & (rows >= 0)).sum(2)  # paths agree from the root on
        common = own.gather(1, (shared - 1).clamp(min=0))
        common = torch.where(shared > 0, common, len(self._heights) - 1)
        distances = torch.where(best == own.gather(1, level), 0, self._heights[common])
        counts = valid[:, None] & (self._level_of_row[best] == level)
        both = torch.stack([distances * counts, counts.to(torch.int64)])  # [2, B, K]
        self.counts += torch.stack([both[:, :, :k].sum((1, 2)) for k in KS], 1)

    def result(self) -> dict[str, float | None]:
        """Return `top1_distance`, `top5_distance` and `top20_distance`; this waits for the device."""
        sums, counted = self.counts.tolist()
        pairs = zip(KS, sums, counted, strict=True)
        return {f"top{k}_distance": total / count if count else None for k, total, count in pairs}
