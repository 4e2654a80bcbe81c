"""What a network says of each image that has one class: the guess, the answer, and the guess at each level.

The guess and the rank of the image's own class are among the classes that compete for an image: all where one softmax
goes over all of them, else those of the level of the image's own class. A probability is what the scheme gives the
class: its share of that softmax, or of its level's, or its sigmoid.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from in21k.train.answers.paths import CONFIDENCE, PathFinder
from in21k.train.losses.schemes import MULTI_LABEL, SINGLE_LABEL
from in21k.train.model.level_order import LevelOrder


class Guesses(NamedTuple):
    """What a network says of B images; classes are rows of the classifier, and -1 stands for none."""

    rows: Tensor
    """int64 [B, 3 + L]: the guess; how many classes are more probable than the image's own; the answer; and the guess
    at each level, -1 where the image's class has no ancestor."""
    probabilities: Tensor
    """float32 [B, 3 + L]: of the image's own class; of the guess; of the answer; and of the guess at each level."""


class GuessFinder:
    """Finds guesses; nothing waits for the device."""

    def __init__(self, order: LevelOrder, scheme: str, device: torch.device) -> None:
        """Prepare for logits.

        Args:
            order: of the network's classes.
            scheme: which it was trained with.
            device: of the logits.
        """
        self._bounds, self._is_multi, self._is_single = order.bounds, scheme in MULTI_LABEL, scheme in SINGLE_LABEL
        self._row_of_class = torch.from_numpy(order.row_of_class).to(device)
        self._targets = torch.from_numpy(order.targets).to(device)
        ends = np.array([end for _, end in order.bounds])
        levels = np.searchsorted(ends, np.arange(len(order)), side="right")
        self._level_of_row = torch.from_numpy(levels).to(device)
        self._paths = PathFinder(order, scheme).to(device)

    def __call__(self, logits: Tensor, class_indices: Tensor) -> Guesses:
        """Return what logits [B, C] in level order say of images of these classes, int64 [B]."""
        scores = logits if logits.dtype == torch.float64 else logits.float()
        rows = self._row_of_class[class_indices][:, None]
        level = self._level_of_row[rows]
        places, totals = self._of_levels(scores)
        if self._is_single:
            competing, guesses, total = torch.ones_like(scores, dtype=torch.bool), _first_best(scores), totals[:, :1]
        else:
            competing = self._level_of_row == level
            guesses, total = places.gather(1, level), totals.gather(1, level)
        own = scores.gather(1, rows)
        earlier = torch.arange(scores.shape[1], device=scores.device) < rows
        ranks = (((scores > own) | ((scores == own) & earlier)) & competing).sum(1, keepdim=True)
        answers, shares = self._answers(logits)
        there = self._targets[class_indices] >= 0
        chosen = torch.cat([own, scores.gather(1, guesses), scores.gather(1, places)], 1)
        found = self._probabilities(chosen, torch.cat([total, total, totals], 1))
        return Guesses(
            torch.cat([guesses, ranks, answers, torch.where(there, places, -1)], 1),
            torch.cat([found[:, :2], shares, found[:, 2:]], 1).float(),
        )

    def _of_levels(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return each level's best row, int64 [B, L], and the logarithm of what its softmax divides by, [B, L]."""
        places = torch.cat([_first_best(scores[:, start:stop]) + start for start, stop in self._bounds], 1)
        if self._is_single:
            return places, torch.logsumexp(scores, 1, keepdim=True).expand(-1, len(self._bounds))
        totals = [torch.logsumexp(scores[:, start:stop], 1, keepdim=True) for start, stop in self._bounds]
        return places, torch.cat(totals, 1)

    def _probabilities(self, scores: Tensor, totals: Tensor) -> Tensor:
        return scores.sigmoid() if self._is_multi else (scores - totals).exp().clamp(max=1)

    def _answers(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the row at which each best path stops, int64 [B, 1], -1 for nowhere, and its probability."""
        paths = self._paths(logits)
        depths = paths.answered(CONFIDENCE)[:, None]
        last = (depths - 1).clamp(min=0)
        shares = paths.probabilities.gather(1, last).clamp(max=1).to(torch.float32)
        return torch.where(depths > 0, paths.rows.gather(1, last), -1), torch.where(depths > 0, shares, 0)


def _first_best(scores: Tensor) -> Tensor:
    """Return int64 [B, 1]: the position of the highest score, the first of equal ones."""
    return (scores == scores.amax(1, keepdim=True)).to(torch.int8).argmax(1, keepdim=True)
