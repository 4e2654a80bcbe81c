"""Features in blocks of rows: what is computed from all images takes the memory of one block."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK_BYTES = 64 << 20
"""Of a block's features and logits together; with the copies and results of a step, no more than four times as much."""

_DOUBLE = 1 << 27
"""Features of more values than this are computed with in float32, whose products take half the time or far less."""


def compute_type(features: Tensor) -> torch.dtype:
    """Return the type that features are multiplied in: float64 if they are few, else float32; sums are of float64."""
    return torch.float64 if features.numel() <= _DOUBLE else torch.float32


@dataclass(frozen=True, eq=False)
class RowBlocks:
    """The features of N images, read in blocks; nothing of them is copied but a block at a time."""

    features: Tensor
    """float32 [N, D], on any device."""
    device: torch.device
    """Where blocks are wanted."""
    rows: int
    """Per block, before any are left out; a multiple of `leave_out`."""
    leave_out: int = 0
    """Of so many rows, the first is left out; 0 leaves out none."""

    def __len__(self) -> int:
        """Return the number of images that are not left out."""
        return _kept(len(self.features), self.leave_out)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield blocks in order, on the device: features, float32 [n, D], and their images' numbers, int64 [n]."""
        total, kept = len(self.features), self._kept_in_a_block()
        for start in range(0, total, self.rows):
            values = self.features[start : start + self.rows]
            numbers = kept[: _kept(len(values), self.leave_out)]
            if self.leave_out:
                values = values.index_select(0, numbers)
            yield values.to(self.device), (numbers + start).to(self.device)

    def _kept_in_a_block(self) -> Tensor:
        numbers = torch.arange(min(self.rows, len(self.features)), device=self.features.device)
        return numbers[numbers % self.leave_out != 0] if self.leave_out else numbers


def row_blocks(
    features: Tensor, classes: int, device: torch.device, leave_out: int = 0, block_bytes: int = BLOCK_BYTES
) -> RowBlocks:
    """Return features in blocks whose size suits a classifier.

    Args:
        features: float32 [N, D].
        classes: C, logits per image.
        device: where blocks are wanted.
        leave_out: of so many rows, the first is left out; 0 leaves out none.
        block_bytes: of a block's features and logits together.
    """
    rows = block_bytes // (compute_type(features).itemsize * (features.shape[1] + classes))
    step = max(leave_out, 1)
    return RowBlocks(features, device, max(rows // step, 1) * step, leave_out)


@dataclass(frozen=True, eq=False)
class Standardization:
    """What makes features of mean 0 and standard deviation 1; a feature that never changes keeps its scale."""

    mean: Tensor
    """[D], of the type that features are multiplied in."""
    std: Tensor
    """[D]."""

    def __call__(self, values: Tensor, out: Tensor) -> Tensor:
        """Return features [n, D], standardized, in the memory of `out`, of the same shape."""
        return torch.sub(values, self.mean, out=out).div_(self.std)


def standardization(blocks: RowBlocks) -> Standardization:
    """Return the standardization of features, from sums in float64."""
    size, dtype = blocks.features.shape[1], compute_type(blocks.features)
    total = torch.zeros(size, dtype=torch.float64, device=blocks.device)
    for values, _ in blocks:
        total += values.sum(0, dtype=torch.float64)
    mean = (total / len(blocks)).to(dtype)
    squares = torch.zeros_like(total)
    for values, _ in blocks:
        squares += torch.sub(values, mean).square_().sum(0, dtype=torch.float64)
    std = (squares / (len(blocks) - 1)).sqrt()
    return Standardization(mean, torch.where(std > 1e-8, std, 1.0).to(dtype))


def _kept(rows: int, leave_out: int) -> int:
    return rows - -(-rows // leave_out) if leave_out else rows
