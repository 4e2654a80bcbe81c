"""How far answers agree with the hierarchy: hierarchical precision, recall and F1, and the share of consistent paths.

An answer and an image's class each stand for themselves and all classes above them. Precision is the share of the
answers' classes that are the images', recall the share of the images' classes that are answered, F1 their harmonic mean
(Kiritchenko et al. 2005; Silla and Freitas 2011, section 5), over all images at once.
"""

import torch
from torch import Tensor

from in21k.train.answers.paths import CONFIDENCE, PathFinder
from in21k.train.model.level_order import LevelOrder


class HierarchicalCounter:
    """Counts the classes of answers and images, without waiting for the device.

    Roots count as any class does; the node above them, which every image would share, does not.
    """

    def __init__(self, order: LevelOrder, scheme: str, device: torch.device) -> None:
        """Prepare for logits of a scheme; answers stop at `CONFIDENCE`, as those of `predict` do."""
        self._finder = PathFinder(order, scheme).to(device)
        tree = self._finder.distribution.tree
        inner = torch.zeros(len(order) + 1, dtype=torch.bool, device=device)
        for (above, _), (start, stop) in zip(tree.bounds, tree.bounds[1:], strict=False):
            inner[above + tree.above[start:stop]] = True
        self._tree, self._inner = tree, inner
        self.counts = torch.zeros(5, dtype=torch.int64, device=device)
        """int64 [5]: classes of both, of answers and of images; images whose most probable classes of each level are a
        path; and images. To be summed over ranks."""

    def update(self, logits: Tensor, class_indices: Tensor, valid: Tensor) -> None:
        """Count a batch.

        Args:
            logits: [B, C] in level order.
            class_indices: int64 [B].
            valid: bool [B]; the others do not count.
        """
        paths = self._finder(logits)
        own = self._tree.rows[class_indices]
        levels = torch.arange(own.shape[1], device=own.device)
        answered = levels < paths.answered(CONFIDENCE)[:, None]
        sets = torch.stack([answered & (paths.rows == own), answered, own >= 0], 2)  # a level below both is in none
        per_image = torch.cat([sets.sum(1), self._are_paths(logits)[:, None], torch.ones_like(own[:, :1])], 1)
        self.counts += (per_image * valid[:, None]).sum(0)

    def result(self) -> dict[str, float | None]:
        """Return shares of 0 to 1; precision is None if nothing is answered. This waits for the device."""
        both, answered, shown, consistent, images = self.counts.tolist()
        return {
            "hierarchical_precision": both / answered if answered else None,
            "hierarchical_recall": both / shown if shown else 0.0,
            "hierarchical_f1": 2 * both / (answered + shown) if shown else 0.0,
            "consistent_paths": consistent / images if images else 0.0,
        }

    def _are_paths(self, logits: Tensor) -> Tensor:
        """Return bool [B]: whether the most probable class of each level is below that of the level above.

        Levels below a class without children, where no answer would be consistent, do not matter.
        """
        consistent = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        goes_on, place = consistent, torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        for start, stop in self._tree.bounds:
            best = logits[:, start:stop].argmax(1)
            consistent = consistent & (~goes_on | (self._tree.above[start + best] == place))
            goes_on, place = goes_on & self._inner[start + best], best
        return consistent
