"""Random erasing on a whole batch in torch, on its device: the same pixels as on the CPU."""

import numpy as np
import torch

from in21k.train.images.erasing import LEVEL_SHIFTS, ErasingDraws
from in21k.train.images.hashes import FIRST, GOLDEN, SECOND
from in21k.train.images.ops_gpu import on_device
from in21k.train.images.random_ops_gpu import inside_boxes

_AT_ONCE = 64
"""Images whose random bits are in memory at a time: 8 bytes per pixel, several times."""


def erase_batch(images: torch.Tensor, draws: ErasingDraws) -> None:
    """Erase a box of each image whose row says so, in place.

    Args:
        images: uint8 [B, 3, H, W].
        draws: the random numbers of the B images.
    """
    height, width = images.shape[2:]
    boxes = draws.boxes(height, width)
    pixels = torch.arange(height * width, device=images.device).view(height, width)
    erased = np.flatnonzero(boxes[:, 1] > boxes[:, 0])
    for start in range(0, len(erased), _AT_ONCE):
        chosen = erased[start : start + _AT_ONCE]
        rows = on_device(chosen, images.device)
        bits = _mixed(on_device(draws.noise[chosen].view(np.int64), images.device)[:, None, None] + pixels)
        levels = torch.stack([(bits >> shift & 255).to(torch.uint8) for shift in LEVEL_SHIFTS], 1)
        images[rows] = torch.where(inside_boxes(boxes[chosen], images), levels, images[rows])


def _mixed(values: torch.Tensor) -> torch.Tensor:
    """Return `hashes.mix` of int64 values, as int64 with the same bits: products wrap around in both."""
    values = values * _signed(GOLDEN)
    values = (values ^ _shifted(values, 30)) * _signed(FIRST)
    values = (values ^ _shifted(values, 27)) * _signed(SECOND)
    return values ^ _shifted(values, 31)


def _shifted(values: torch.Tensor, by: int) -> torch.Tensor:
    """Return values shifted to the right, with zeros from the left."""
    return values >> by & ((1 << (64 - by)) - 1)


def _signed(factor: int) -> int:
    return factor - (1 << 64) if factor >> 63 else factor
