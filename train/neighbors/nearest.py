"""The K nearest vectors of a gallery for each query: exact, in blocks, with ties in the gallery's order."""

from dataclasses import dataclass

import torch
from torch import Tensor

from in21k.shards_manifest.command.progress import Progress
from in21k.train.neighbors.vectors import (
    BLOCK_SIZES,
    UNITS,
    BlockSizes,
    Vectors,
    column_of,
    key_blocks,
    similarity_of,
)


@dataclass(frozen=True, eq=False)
class Nearest:
    """The K nearest vectors for each of Q queries, the nearest first; of equally near ones, the lower number."""

    similarities: Tensor
    """float64 [Q, K]: cosines."""
    numbers: Tensor
    """int64 [Q, K]: which vectors of the gallery."""


class NearestSoFar:
    """Collects the K nearest from the blocks of a gallery, given in order."""

    def __init__(self, queries: int, k: int, device: torch.device) -> None:
        self._k = k
        self._scores = torch.empty(queries, 0, dtype=torch.int64, device=device)
        self._numbers = torch.empty(queries, 0, dtype=torch.int64, device=device)

    def add(self, start: int, keys: Tensor) -> None:
        """Take the next block.

        Args:
            start: number of its first vector.
            keys: int64 [Q, m], as `key_blocks` yields them.
        """
        best = keys.topk(min(self._k, keys.shape[1]), dim=1).values
        scores = torch.cat([self._scores, similarity_of(best)], 1)
        numbers = torch.cat([self._numbers, column_of(best) + start], 1)
        # a stable sort keeps the earlier vector of two that are equally near
        self._scores, order = scores.sort(dim=1, descending=True, stable=True)
        self._numbers = numbers.gather(1, order)[:, : self._k]
        self._scores = self._scores[:, : self._k]

    def result(self) -> Nearest:
        """Return the nearest of all blocks so far."""
        return Nearest(self._scores.double() / UNITS, self._numbers)


def nearest(
    queries: Vectors, gallery: Vectors, k: int, device: torch.device, sizes: BlockSizes = BLOCK_SIZES
) -> Nearest:
    """Return the K nearest vectors of a gallery for each query, on the device.

    Args:
        queries: Q vectors.
        gallery: N vectors of the same length, at least K of them.
        k: K.
        device: to compute on; vectors that lie elsewhere are copied there a block at a time.
        sizes: of the blocks.
    """
    found = []
    with Progress("search", "image", len(queries)) as bar:
        for start in range(0, len(queries), sizes.queries):
            rows = queries.units(start, start + sizes.queries, device)
            best = NearestSoFar(len(rows), k, device)
            for first, keys in key_blocks(rows, gallery, device, sizes):
                best.add(first, keys)
            found.append(best.result())
            bar.update(len(rows))
    return Nearest(torch.cat([each.similarities for each in found]), torch.cat([each.numbers for each in found]))
