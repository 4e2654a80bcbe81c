"""FAISS as a guide: it proposes near images in float32, and the exact ranking is read off them where that is proven.

A similarity in float32 errs by no more than D × 2^-24. Images that FAISS leaves out are therefore no more similar than
the last one that it proposes, and this error. A query whose relevant images and best answers are all more similar than
that is answered from the proposals, whose similarities are computed exactly; any other one is left to the blocks.
"""

import math
from typing import Any

import numpy as np
import torch

from in21k.train.arrays import IntArray
from in21k.train.errors import TrainError
from in21k.train.neighbors.vectors import BLOCK_SIZES, UNITS, similarities
from in21k.train.retrieval.ranking import Answers, Search

PROPOSED = 128
"""Images per query."""

_CPU = torch.device("cpu")


def require_faiss() -> Any:
    """Return the library.

    Raises:
        TrainError: it is not installed.
    """
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise TrainError("--faiss needs FAISS: pip install 'in21k[faiss]'") from error
    return faiss


class Guide:
    """An index of a gallery that proposes the most similar images."""

    def __init__(self, search: Search, proposed: int = PROPOSED) -> None:
        """Copy the gallery's vectors into an index, as float32.

        Args:
            search: queries and gallery.
            proposed: images per query.
        """
        dimensions = search.gallery.values.shape[1]
        self._search, self._members = search, search.members()
        self._proposed = min(proposed, len(search.gallery))
        self._error = 1.01 * (dimensions + 2) * 2.0**-24
        self._index = require_faiss().IndexFlatIP(dimensions)
        for start in range(0, len(search.gallery), BLOCK_SIZES.gallery):
            self._index.add(search.gallery.units(start, start + BLOCK_SIZES.gallery, _CPU).float().numpy())

    def answers(self, k: int) -> tuple[list[Answers], IntArray]:
        """Return the answers to the queries for which they are proven, and the other queries, int64 [n].

        Args:
            k: best answers to keep.
        """
        found: list[Answers] = []
        left: list[int] = []
        for start in range(0, len(self._search.queries), BLOCK_SIZES.queries):
            rows = self._search.queries.units(start, start + BLOCK_SIZES.queries, _CPU)
            scores, proposals = self._index.search(rows.float().numpy(), self._proposed)
            for at in range(len(rows)):
                floor = float(scores[at, -1]) + self._error
                answer = self._answer(start + at, rows[at : at + 1], proposals[at], floor, k)
                if answer is None:
                    left.append(start + at)
                else:
                    found.append(answer)
        return found, np.array(left, np.int64)

    def _answer(self, query: int, row: torch.Tensor, proposals: IntArray, floor: float, k: int) -> Answers | None:
        """Return the answer to a query, None if its proposals do not prove it."""
        search, members = self._search, self._members
        relevant, own = members.of(int(search.query_groups[query])), search.own[query]
        relevant, near = relevant[relevant != own], proposals[proposals != own]
        places = np.concatenate([near, relevant])
        exact = similarities(row, search.gallery.units_at(torch.from_numpy(places), _CPU))[0].numpy()
        scores, wanted = exact[: len(near)], exact[len(near) :]
        order = np.lexsort((near, -scores))
        near, scores = near[order], scores[order]
        if self._proposed < len(search.gallery):
            least = min([*wanted.tolist(), int(scores[k - 1]) if len(scores) >= k else -(1 << 62)])
            if least <= math.ceil(floor * UNITS):
                return None
        best, cosines = np.full((1, k), -1, np.int64), np.full((1, k), np.nan)
        best[0, : len(near[:k])], cosines[0, : len(near[:k])] = near[:k], scores[:k] / UNITS
        ranks = np.flatnonzero(np.isin(near, relevant))
        return Answers(np.array([query], np.int64), [ranks], best, cosines)
