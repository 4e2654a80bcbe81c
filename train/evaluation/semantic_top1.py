"""Semantic top-1: how often the most probable class of a level is the image's ancestor there.

It is the validation metric of the reference code. Counts are integers on the device that are summed over ranks and only
then divided, so the metric is exact on any number of ranks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from in21k.train.arrays import IntArray
from in21k.train.model.level_order import LevelOrder
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.majority import majority_hits


@dataclass(frozen=True)
class SemanticTop1:
    """Correct guesses among all valid pairs of an image and an active level."""

    levels: Mapping[int, tuple[int, int]]
    """Correct guesses and pairs of each active level."""

    @property
    def micro(self) -> float:
        """The share of correct guesses among all pairs, 0 to 1; 0 without pairs."""
        return _share(*(sum(column) for column in zip(*self.levels.values(), strict=True)))

    def level(self, level: int) -> float:
        """Return the share of correct guesses at one level, 0 to 1; 0 without pairs."""
        return _share(*self.levels[level])


class SemanticCounter:
    """Counts correct guesses per level, without waiting for the device."""

    def __init__(self, order: LevelOrder, device: torch.device) -> None:
        self._levels = order.active
        self._bounds = [order.bounds[level] for level in order.active]
        self._targets = torch.from_numpy(order.targets[:, list(order.active)]).to(device)
        self.counts = torch.zeros(2, len(order.active), dtype=torch.int64, device=device)
        """int64 [2, K]: correct guesses and pairs of each active level; to be summed over ranks."""

    def update(self, logits: Tensor, class_indices: Tensor, valid: Tensor) -> None:
        """Count a batch.

        Args:
            logits: [B, C] in level order.
            class_indices: int64 [B].
            valid: bool [B]; the others do not count.
        """
        targets = self._targets[class_indices]
        guesses = torch.stack([logits[:, start:stop].argmax(1) for start, stop in self._bounds], 1)
        pairs = valid[:, None] & (targets >= 0)
        self.counts += torch.stack([(pairs & (guesses == targets)).sum(0), pairs.sum(0)])

    def result(self) -> SemanticTop1:
        """Return the metric; this waits for the device."""
        hits, pairs = self.counts.tolist()
        return SemanticTop1(dict(zip(self._levels, zip(hits, pairs, strict=True), strict=True)))


def majority_guess(hierarchy: Hierarchy, images_train: IntArray, images_val: IntArray) -> SemanticTop1:
    """Return the semantic top-1, on the val split, of guessing each level's most frequent class of the train split.

    Args:
        hierarchy: of C classes.
        images_train: int64 [C], training images per class.
        images_val: int64 [C], val images per class.
    """
    return SemanticTop1(majority_hits(hierarchy, images_train, images_val))


def _share(hits: int, pairs: int) -> float:
    return hits / pairs if pairs else 0.0
