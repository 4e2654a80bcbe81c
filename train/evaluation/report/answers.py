"""The answers of a model on the val split, an image each, gathered from all ranks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from in21k.train.answers.paths import PathFinder
from in21k.train.arrays import FloatArray, IntArray
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.model.level_order import LevelOrder
from in21k.tree.hierarchy import ROOT, Hierarchy


@dataclass(frozen=True, eq=False)
class Answers:
    """The paths of N images, in no order that counts."""

    hierarchy: Hierarchy
    """Of C classes in L levels."""
    classes: IntArray
    """int64 [N]: class indices."""
    ends: IntArray
    """int64 [N]: the class index at the end of each image's best path."""
    probabilities: FloatArray
    """float64 [N, L]: of each class on the path, descending; 0 below its end."""

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def paths(self) -> IntArray:
        """int64 [N, L]: the class indices of the paths, -1 below their ends."""
        return self.hierarchy.ancestors[self.ends].astype(np.int64)

    @cached_property
    def own(self) -> IntArray:
        """int64 [N, L]: the class indices from a root down to the image's class, -1 below it."""
        return self.hierarchy.ancestors[self.classes].astype(np.int64)

    @cached_property
    def agreed(self) -> IntArray:
        """int64 [N]: how many classes, from the root down, are on the path and above or equal to the image's."""
        same: IntArray = ((self.paths == self.own) & (self.own != ROOT)).sum(1)
        return same

    def depths(self, confidence: float) -> IntArray:
        """Return int64 [N]: how many classes of each path, from the root down, are at least this probable."""
        depths: IntArray = ((self.paths != ROOT) & (self.probabilities >= confidence)).sum(1)
        return depths


class AnswerCollector:
    """Keeps the answers of batches; nothing waits for the device before `gather`."""

    def __init__(self, data: TrainingData, order: LevelOrder, scheme: str, ranks: Ranks) -> None:
        self._hierarchy, self._class_of_row, self._ranks = data.hierarchy, order.class_of_row, ranks
        self._finder = PathFinder(order, scheme).to(ranks.device)
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def update(self, logits: Tensor, class_indices: Tensor, valid: Tensor) -> None:
        """Keep the answers of a batch.

        Args:
            logits: [B, C] in level order.
            class_indices: int64 [B].
            valid: bool [B]; the others are left out.
        """
        paths = self._finder(logits)
        ends = paths.rows.amax(1)  # rows grow with the level
        self._batches.append((torch.where(valid, class_indices, ROOT), ends, paths.probabilities))

    def gather(self) -> Answers:
        """Return the answers of all ranks; every rank must call it, after equally many batches of equal size."""
        classes, ends, probabilities = (
            self._of_all_ranks(torch.cat(part)) for part in zip(*self._batches, strict=True)
        )
        valid = (classes != ROOT).numpy()
        rows = ends.numpy()[valid]
        return Answers(self._hierarchy, classes.numpy()[valid], self._class_of_row[rows], probabilities.numpy()[valid])

    def _of_all_ranks(self, own: Tensor) -> Tensor:
        if self._ranks.world_size > 1:
            gathered = [torch.empty_like(own) for _ in range(self._ranks.world_size)]
            dist.all_gather(gathered, own)
            own = torch.cat(gathered)
        return own.cpu()
