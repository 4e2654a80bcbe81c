"""The ranks of all relevant images, and the best answers, of each query: exact, in blocks, ties in the gallery's order.

Nothing as large as queries times gallery is ever kept. The similarities of the relevant images are computed first, and
then, block by block, how many images of the gallery come before each of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from in21k.train.arrays import FloatArray, IntArray
from in21k.train.neighbors.nearest import NearestSoFar
from in21k.train.neighbors.vectors import (
    BLOCK_SIZES,
    WIDTH,
    BlockSizes,
    Vectors,
    key_blocks,
    similarities,
)

_FAR = 1 << 49
"""More than any similarity: where there is no relevant image."""

_LEAST = torch.iinfo(torch.int64).min
_PLACES = 1 << 21
"""Of relevant images, for the queries of a block together."""


@dataclass(frozen=True, eq=False)
class Search:
    """Q queries and a gallery of G images, in the order in which ties are resolved."""

    queries: Vectors
    gallery: Vectors
    query_groups: IntArray
    """int64 [Q]: -1 for none."""
    gallery_groups: IntArray
    """int64 [G]: -1 for none."""
    own: IntArray
    """int64 [Q]: the place of each query in the gallery, where it is left out of its own ranking; -1 for none."""

    def members(self) -> "Members":
        """Return the gallery's images by group."""
        order = np.argsort(self.gallery_groups, kind="stable")
        groups = int(max(self.query_groups.max(initial=-1), self.gallery_groups.max(initial=-1))) + 1
        return Members(order, np.searchsorted(self.gallery_groups[order], np.arange(groups + 1)))


@dataclass(frozen=True, eq=False)
class Members:
    """The places of the gallery's images by group."""

    order: IntArray
    """int64 [G]: sorted by group, then by place."""
    starts: IntArray
    """int64 [groups + 1]."""

    def of(self, group: int) -> IntArray:
        """Return the places of a group's images, ascending; none of no group."""
        return self.order[:0] if group < 0 else self.order[self.starts[group] : self.starts[group + 1]]


@dataclass(frozen=True, eq=False)
class Answers:
    """What is found for some queries."""

    queries: IntArray
    """int64 [q]: which of the Q queries."""
    ranks: list[IntArray]
    """Of the relevant images of each query, from 0, ascending."""
    best: IntArray
    """int64 [q, K]: places in the gallery, the best first; -1 where it has fewer images."""
    similarities: FloatArray
    """float64 [q, K]: their cosines."""


def answers(
    search: Search, places: IntArray, k: int, device: torch.device, sizes: BlockSizes = BLOCK_SIZES
) -> Iterator[Answers]:
    """Yield the answers to some queries, in any order.

    Args:
        search: queries and gallery.
        places: int64 [n]: which of the queries.
        k: best answers to keep.
        device: to compute on.
        sizes: of the blocks; the answers do not depend on them.
    """
    members = search.members()
    for chosen in _blocks(search, members, places, sizes.queries):
        rows = search.queries.units_at(torch.from_numpy(chosen), device)
        own = torch.from_numpy(search.own[chosen]).to(device)
        relevant = _relevant(search, members, chosen, rows, sizes.gallery)
        ahead = torch.zeros(len(chosen), relevant.scores.shape[1] + 1, dtype=torch.int64, device=device)
        best = NearestSoFar(len(chosen), k, device)
        for start, keys in key_blocks(rows, search.gallery, device, sizes):
            _leave_out(keys, own - start)
            at = torch.searchsorted(relevant.thresholds(start), keys)
            ahead.scatter_add_(1, at, torch.ones_like(at))
            best.add(start, keys)
        yield _found(chosen, relevant, ahead, best, k)


def _blocks(search: Search, members: Members, places: IntArray, most: int) -> Iterator[IntArray]:
    """Yield queries by group, a few at a time where their groups are large."""
    places = places[np.argsort(search.query_groups[places], kind="stable")]
    block: list[int] = []
    widest = 1
    for place in places.tolist():
        width = len(members.of(int(search.query_groups[place])))
        if block and (len(block) == most or (len(block) + 1) * max(widest, width) > _PLACES):
            yield np.array(block, np.int64)
            block, widest = [], 1
        block.append(place)
        widest = max(widest, width)
    if block:
        yield np.array(block, np.int64)


@dataclass(frozen=True, eq=False)
class _Relevant:
    """The relevant images of q queries, from the farthest to the nearest: R at most, then `_FAR`."""

    scores: Tensor
    """int64 [q, R]: similarities, in units of 2^-48."""
    places: Tensor
    """int64 [q, R]: in the gallery."""

    def thresholds(self, start: int) -> Tensor:
        """Return int64 [q, R], ascending: what the keys of a block exceed that come before each relevant image."""
        first_come = (WIDTH - 1 - (self.places - start)).clamp_(-1, WIDTH - 1)
        return first_come.add_(self.scores, alpha=WIDTH)


def _relevant(search: Search, members: Members, chosen: IntArray, rows: Tensor, step: int) -> _Relevant:
    groups = search.query_groups[chosen]
    widest = max(len(members.of(group)) for group in groups.tolist())
    shape = len(chosen), widest
    found = _Relevant(*(torch.full(shape, value, dtype=torch.int64, device=rows.device) for value in (_FAR, 0)))
    for group in np.unique(groups).tolist():
        there = torch.from_numpy(members.of(group).copy())
        if not len(there):
            continue
        here = torch.from_numpy(np.flatnonzero(groups == group)).to(rows.device)
        parts = (search.gallery.units_at(part, rows.device) for part in torch.split(there, step))
        scores = torch.cat([similarities(rows[here], part) for part in parts], 1)
        own = torch.from_numpy(search.own[chosen[groups == group]])
        scores.masked_fill_((there[None] == own[:, None]).to(rows.device), _FAR)
        scores, order = scores.flip(1).sort(dim=1, stable=True)  # of equal ones, the later place is farther
        found.scores[here, : len(there)] = scores
        found.places[here, : len(there)] = there.to(rows.device).flip(0)[order]
    return found


def _leave_out(keys: Tensor, columns: Tensor) -> None:
    """Let each query come last in its own ranking, given its column in the block if it is there."""
    here = ((columns >= 0) & (columns < keys.shape[1])).nonzero()[:, 0]
    keys[here, columns[here]] = _LEAST


def _found(chosen: IntArray, relevant: _Relevant, ahead: Tensor, best: NearestSoFar, k: int) -> Answers:
    counts = (relevant.scores < _FAR).sum(1).tolist()
    ranks = ahead.flip(1).cumsum(1).flip(1)[:, 1:].cpu().numpy()
    near = best.result()
    numbers, scores = np.full((len(chosen), k), -1, np.int64), np.full((len(chosen), k), np.nan)
    width = near.numbers.shape[1]
    is_there = (near.similarities > -2).cpu().numpy()
    numbers[:, :width] = np.where(is_there, near.numbers.cpu().numpy(), -1)
    scores[:, :width] = np.where(is_there, near.similarities.cpu().numpy(), np.nan)
    return Answers(
        queries=chosen,
        ranks=[row[:count][::-1] for row, count in zip(ranks, counts, strict=True)],
        best=numbers,
        similarities=scores,
    )
