"""The vote of the nearest images, weighted by exp(similarity / temperature) (Wu et al. 2018, section 3.4; DINO)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from in21k.train.data.interfaces import ABSENT
from in21k.train.neighbors.nearest import Nearest
from in21k.train.transfer.linear_objective import Labels

TEMPERATURE = 0.07
"""DINO's."""

_SHARES = 1 << 20
"""Computed at a time, for the copies that mean average precision makes of them."""


@dataclass(frozen=True, eq=False)
class Votes:
    """The shares of each class in the votes of the K nearest images, computed block by block as often as they are read.

    A class's share is the weight of the neighbors that have it, divided by that of all of them; where the labels know
    some classes of an image alone, by that of the neighbors that know. Nobody's vote is a share of 0. The weights are
    summed from the nearest neighbor on, so that classes with the same votes tie exactly, on every device.
    """

    nearest: Nearest
    """Of Q queries, with K neighbors or more."""
    k: int
    labels: Labels
    """Of the gallery; its sets may list absent classes as `TrainingData.label_sets` does."""
    temperature: float

    def __iter__(self) -> Iterator[tuple[Tensor, slice]]:
        """Yield shares, float64 [n, C] of 0 to 1 in class order, and the queries that they are of."""
        sets, step = self.labels.sets, max(_SHARES // self.labels.classes, 1)
        knows_all = sets is None or not bool((sets <= ABSENT).any())
        for start in range(0, len(self.nearest.numbers), step):
            queries = slice(start, start + step)
            near, numbers = self.nearest.similarities[queries, : self.k], self.nearest.numbers[queries]
            yield self._shares(near, numbers, knows_all=knows_all), queries

    def _shares(self, near: Tensor, numbers: Tensor, *, knows_all: bool) -> Tensor:
        weights = ((near - near[:, :1]) / self.temperature).exp()  # the nearest has 1: shares stay, nothing overflows
        sets = self.labels.sets
        present = near.new_zeros(len(near), self.labels.classes + 1)  # one more column, for the padding
        known = near.new_zeros(len(near), 1) if knows_all else torch.zeros_like(present)
        for at in range(self.k):
            ids, weight = self.labels.ids[numbers[:, at]], weights[:, at, None]
            rows = ids[:, None] if sets is None else sets[ids]
            _add(present, torch.where(rows >= 0, rows, self.labels.classes), weight)
            if knows_all:
                known += weight
            else:
                both = torch.where(rows <= ABSENT, ABSENT - rows, rows)
                _add(known, torch.where(both >= 0, both, self.labels.classes), weight)
        return (present / torch.where(known > 0, known, 1))[:, :-1]


def _add(sums: Tensor, columns: Tensor, weight: Tensor) -> None:
    """Add a weight per row, [n, 1], to columns that are all different but for the last."""
    sums.scatter_(1, columns, sums.gather(1, columns) + weight)
