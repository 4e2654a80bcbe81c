"""The operations of the random policy on a batch in torch, each image with a strength of its own: as on the CPU."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

from in21k.train.arrays import IntArray
from in21k.train.images.ops_cpu import rotation_matrix
from in21k.train.images.ops_gpu import apply_op, on_device, sources
from in21k.train.images.random_ops_cpu import CUTOUT_COLOR, GRAY, shear_sources, small_box

Strengths = npt.NDArray[np.float64]


def apply_random_op(
    name: str, images: torch.Tensor, strengths: Strengths, places: npt.NDArray[np.float64]
) -> torch.Tensor:
    """Return uint8 [B, 3, H, W]: all images after one operation.

    Args:
        name: one of `augment_draws.RANDOM_OPS`.
        images: uint8 [B, 3, H, W], contiguous.
        strengths: float64 [B], as `augment_draws.random_strength` returns them.
        places: float64 [B, 2]: y and x of Cutout's centers, as shares of the sides.
    """
    if name == "Cutout":
        height, width = images.shape[2:]
        boxes = [small_box(place, side, height, width) for place, side in zip(places, strengths, strict=True)]
        colors = np.tile(np.array(CUTOUT_COLOR, np.uint8), (len(images), 1))
        return fill_boxes(images, np.array(boxes), colors)
    if (own := _OPS.get(name)) is not None:
        return own(images, strengths)
    return apply_op(name, images, on_device(strengths.astype(np.float32), images.device)[:, None, None, None])


def fill_boxes(images: torch.Tensor, boxes: IntArray, colors: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Return images in each of which a box has a color.

    Args:
        images: uint8 [B, 3, H, W].
        boxes: int64 [B, 4]: top, bottom, left and right.
        colors: uint8 [B, 3].
    """
    return torch.where(inside_boxes(boxes, images), on_device(colors, images.device)[:, :, None, None], images)


def inside_boxes(boxes: IntArray, images: torch.Tensor) -> torch.Tensor:
    """Return bool [B, 1, H, W] on the images' device: which pixels lie in a box.

    Args:
        boxes: int64 [B, 4]: top, bottom, left and right.
        images: [B, 3, H, W].
    """
    height, width = images.shape[2:]
    top, bottom, left, right = on_device(boxes, images.device).unbind(1)
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    in_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    in_columns = (columns >= left[:, None]) & (columns < right[:, None])
    return (in_rows[:, :, None] & in_columns[:, None, :])[:, None]


def _gathered(images: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Return the pixels of numbers [B, H W], of which H W stands for what lies outside."""
    flat = torch.nn.functional.pad(images.flatten(2), (0, 1), value=GRAY)
    return flat.gather(2, at[:, None].expand(-1, images.shape[1], -1)).view_as(images)


def _moved(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return images whose pixels are from other rows [B, H] and columns [B, W], which may be outside."""
    height, width = images.shape[2:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    numbers = rows[:, :, None] * width + columns[:, None, :]
    return _gathered(images, torch.where(inside, numbers, height * width).flatten(1))


def _translate(images: torch.Tensor, shares: Strengths, *, along_x: bool) -> torch.Tensor:
    height, width = images.shape[2:]
    shifts = np.floor(shares * (width if along_x else height) + 0.5).astype(np.int64)
    shift = on_device(shifts, images.device)[:, None]
    rows = torch.arange(height, device=images.device)[None, :].expand(len(images), -1)
    columns = torch.arange(width, device=images.device)[None, :].expand(len(images), -1)
    return _moved(images, rows, columns + shift) if along_x else _moved(images, rows + shift, columns)


def _translate_x(images: torch.Tensor, shares: Strengths) -> torch.Tensor:
    return _translate(images, shares, along_x=True)


def _translate_y(images: torch.Tensor, shares: Strengths) -> torch.Tensor:
    return _translate(images, shares, along_x=False)


def _rotate(images: torch.Tensor, degrees: Strengths) -> torch.Tensor:
    height, width = images.shape[2:]
    tables = [sources(height, width, rotation_matrix(height, width, each), images.device) for each in degrees.tolist()]
    return _gathered(images, torch.stack(tables))


def _shear_x(images: torch.Tensor, slopes: Strengths) -> torch.Tensor:
    """Shear along the rows, as the CPU does it: each image has its own sources."""
    height, width = images.shape[2:]
    found = [shear_sources(width, height, slope) for slope in slopes.tolist()]
    left, between, inside = (
        on_device(np.stack([each[part] for each in found]), images.device)[:, None] for part in range(3)
    )
    taps = [images.gather(3, (left + tap).clamp(0, width - 1).expand_as(images)).float() for tap in range(-1, 3)]
    a, b, c, d = taps
    value = b + between * (c - a + between * (2 * (a - b) + c - d + between * (b - a + d - c)))
    return torch.where(inside, value.clamp_(0, 255), GRAY).to(torch.uint8)


def _shear_y(images: torch.Tensor, slopes: Strengths) -> torch.Tensor:
    return _shear_x(images.transpose(2, 3), slopes).transpose(2, 3)


def _posterize(images: torch.Tensor, bits: Strengths) -> torch.Tensor:
    masks = (256 - (1 << (8 - bits.astype(np.int64)))).astype(np.uint8)
    return images.bitwise_and(on_device(masks, images.device)[:, None, None, None])


def _invert(images: torch.Tensor, _: Strengths) -> torch.Tensor:
    return 255 - images


_OPS: Mapping[str, Callable[[torch.Tensor, Strengths], torch.Tensor]] = MappingProxyType(
    {
        "Invert": _invert,
        "ShearX": _shear_x,
        "ShearY": _shear_y,
        "TranslateX": _translate_x,
        "TranslateY": _translate_y,
        "Rotate": _rotate,
        "Posterize": _posterize,
    }
)
