"""The scores of a retrieval: average precision as INRIA Holidays' script computes it, and recall at k."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from in21k.train.arrays import FloatArray, IntArray
from in21k.train.retrieval.ranking import Answers

KS = (1, 5, 10)
BEST = 10
"""Answers that are kept of each query."""


@dataclass(frozen=True, eq=False)
class QueryScores:
    """The scores of Q queries and their best answers."""

    relevant: IntArray
    """int64 [Q]: how many images are relevant to each."""
    precision: FloatArray
    """float64 [Q]: average precision, 0 to 1; NaN where no image is relevant."""
    first: IntArray
    """int64 [Q]: rank of the first relevant image, from 0; -1 where none is."""
    best: IntArray
    """int64 [Q, BEST]: places in the gallery, the best first; -1 where it has fewer images."""
    similarities: FloatArray
    """float64 [Q, BEST]."""

    @classmethod
    def empty(cls, queries: int) -> "QueryScores":
        """Return the scores of queries of which nothing is known yet."""
        return cls(
            relevant=np.zeros(queries, np.int64),
            precision=np.full(queries, np.nan),
            first=np.full(queries, -1, np.int64),
            best=np.full((queries, BEST), -1, np.int64),
            similarities=np.full((queries, BEST), np.nan),
        )

    def add(self, found: Answers) -> None:
        """Enter the answers to some queries."""
        self.best[found.queries], self.similarities[found.queries] = found.best, found.similarities
        for query, ranks in zip(found.queries.tolist(), found.ranks, strict=True):
            self.relevant[query] = len(ranks)
            if len(ranks):
                self.precision[query], self.first[query] = average_precision(ranks), ranks[0]

    @property
    def is_scored(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Return which queries have a relevant image: the others do not count."""
        return self.relevant > 0

    def summary(self) -> dict[str, float]:
        """Return the means over the queries that have a relevant image: `map`, and `recall_at_k`, each 0 to 1.

        Recall at k is the share of the queries with a relevant image among the first k.
        """
        first = self.first[self.is_scored]
        means = {"map": fsum(self.precision[self.is_scored].tolist()) / len(first)}
        return means | {f"recall_at_{k}": float(np.mean(first < k)) for k in KS}


def average_precision(ranks: IntArray | Sequence[int]) -> float:
    """Return the average precision of a query: the area under its curve of precision over recall, by trapezoids.

    Each relevant image is a step of recall, from the precision just before it to that at it. Precision before the first
    image counts as 1.

    Args:
        ranks: of all relevant images, from 0, ascending; the query itself has no place in the ranking.
    """
    at, found = np.asarray(ranks, np.float64), np.arange(len(ranks), dtype=np.float64)
    before = np.divide(found, at, out=np.ones_like(at), where=at > 0)
    steps = (before + (found + 1) / (at + 1)) * (1.0 / len(at)) / 2.0
    return float(np.add.accumulate(steps)[-1])
