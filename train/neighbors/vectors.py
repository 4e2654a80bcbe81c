"""Vectors of length 1 whose similarities are exact, so that no block size, thread or device changes a bit of them.

The values of a unit vector are rounded to multiples of 2^-24, which moves them by less than a sum in float32 would.
Their products are multiples of 2^-48, and no sum of a dot product's terms exceeds 1 by more than rounding does, so
float64 holds every such sum exactly, in whatever order it is made. Equal vectors then have equal similarities, and "the
more similar one, or else the one with the lower number" is an order without exceptions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from in21k.train.errors import TrainError

STEP = 2.0**-24
"""The values of unit vectors are multiples of it."""

UNITS = 2.0**48
"""Of similarities: as integers, they are so many times larger."""

WIDTH = 1 << 13
"""Most columns of a block: a key has 13 bits for the column, beside the 50 of a similarity."""

_ROWS = 4096
"""Whose lengths are computed at once."""


@dataclass(frozen=True)
class BlockSizes:
    """How many vectors are compared at once; the results do not depend on it."""

    queries: int = 1024
    gallery: int = 4096
    """At most `WIDTH`."""


BLOCK_SIZES = BlockSizes()
"""With vectors of 2,048 values, a step takes 0.3 GB."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """N vectors of any length, and those of them that count, in the order in which ties are resolved."""

    values: Tensor
    """float16 or float32 [N, D], on any device."""
    lengths: Tensor
    """float64 [N]: their Euclidean lengths, on the CPU."""
    numbers: Tensor | None = None
    """int64 [M] on the CPU: which vectors count; None for all."""

    def __len__(self) -> int:
        return len(self.values) if self.numbers is None else len(self.numbers)

    def chosen(self, numbers: Tensor) -> "Vectors":
        """Return those with the given numbers, int64 [M] on the CPU; nothing is copied."""
        return Vectors(self.values, self.lengths, numbers)

    def units(self, start: int, stop: int, device: torch.device) -> Tensor:
        """Return some of the vectors at length 1, float64 [n, D], rounded to multiples of `STEP`; a zero stays zero."""
        if self.numbers is not None:
            return self._scaled(self.numbers[start:stop], device)
        return self._scaled(slice(start, stop), device)

    def units_at(self, places: Tensor, device: torch.device) -> Tensor:
        """Return the vectors at some places among those that count, int64 [n] on the CPU, as `units` does."""
        return self._scaled(places if self.numbers is None else self.numbers[places], device)

    def _scaled(self, rows: Tensor | slice, device: torch.device) -> Tensor:
        at = rows.to(self.values.device) if isinstance(rows, Tensor) else rows
        values, lengths = self.values[at], self.lengths[rows].to(device)[:, None]
        scaled = values.to(device).double() / torch.where(lengths > 0, lengths, 1)
        return scaled.div_(STEP).round_().mul_(STEP)


def vectors(values: Tensor, name: str) -> Vectors:
    """Return vectors whose similarities are to be computed.

    Args:
        values: float16 or float32 [N, D], on any device.
        name: what messages call them.

    Raises:
        TrainError: one has a value that is not finite.
    """
    blocks = (values[start : start + _ROWS] for start in range(0, len(values), _ROWS))
    lengths = [block.double().square().sum(1).sqrt().cpu() for block in blocks]
    joined = torch.cat(lengths) if lengths else torch.empty(0, dtype=torch.float64)
    if not joined.isfinite().all():
        wrong = int((~joined.isfinite()).sum())
        raise TrainError(f"{name}: {wrong} of {len(values)} vectors have values that are not finite; check the weights")
    return Vectors(values, joined)


def similarities(rows: Tensor, others: Tensor) -> Tensor:
    """Return the cosine similarities of unit vectors in units of 2^-48, int64 [n, m]: exact.

    Args:
        rows: float64 [n, D], as `Vectors.units` returns them.
        others: float64 [m, D], likewise.
    """
    return (rows @ others.T).mul_(UNITS).to(torch.int64)


def key_blocks(
    rows: Tensor, gallery: Vectors, device: torch.device, sizes: BlockSizes = BLOCK_SIZES
) -> Iterator[tuple[int, Tensor]]:
    """Yield, block by block of a gallery, the number of its first vector and the keys of its similarities to some rows.

    A key, int64 [n, m], sorts by similarity, then by number: of two vectors of a block, the one that comes first has
    the greater key, and no keys of a row are equal.

    Args:
        rows: float64 [n, D] on the device, as `Vectors.units` returns them.
        gallery: to compare them with.
        device: to compute on.
        sizes: of the blocks.
    """
    step = min(sizes.gallery, WIDTH)
    places = WIDTH - 1 - torch.arange(step, device=device)
    for start in range(0, len(gallery), step):
        others = gallery.units(start, start + step, device)
        yield start, similarities(rows, others).mul_(WIDTH).add_(places[: len(others)])


def similarity_of(keys: Tensor) -> Tensor:
    """Return the similarities in keys, in units of 2^-48."""
    return keys >> (WIDTH.bit_length() - 1)


def column_of(keys: Tensor) -> Tensor:
    """Return the columns in keys, counted from the beginning of their block."""
    return WIDTH - 1 - (keys & (WIDTH - 1))
