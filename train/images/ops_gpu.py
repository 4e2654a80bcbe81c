"""RandAugment's operations on a whole batch in torch, on its device: the same as on the CPU."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from in21k.train.images.augment_draws import shear_matrix
from in21k.train.images.ops_cpu import Matrix, rotation_matrix, source_pixels

_SHADES = 256
_LUMA = (19595, 38470, 7471)
"""Pillow's weights of red, green and blue, times 65,536."""


def apply_op(name: str, images: torch.Tensor, value: Any) -> torch.Tensor:
    """Return uint8 [B, 3, H, W]: all images after one operation of the same strength.

    The operations that blend, and Solarize, also take float32 [B, 1, 1, 1]: the strength of each image.
    """
    return _OPS[name](images, value)


def on_device(values: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """Return values on a device, copied from page-locked memory without waiting for what the device is doing."""
    tensor = torch.from_numpy(values)
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


@lru_cache(maxsize=128)
def sources(height: int, width: int, matrix: Matrix, device: torch.device) -> torch.Tensor:
    """Return int64 [H W] on a device: `source_pixels` of a matrix."""
    return on_device(source_pixels(height, width, matrix).ravel(), device)


def _warp(images: torch.Tensor, matrix: Matrix) -> torch.Tensor:
    height, width = images.shape[2:]
    flat = torch.nn.functional.pad(images.flatten(2), (0, 1))  # one more pixel, black, for everything outside the image
    return flat.index_select(2, sources(height, width, matrix, images.device)).view_as(images)


def _shear_x(images: torch.Tensor, value: float) -> torch.Tensor:
    return _warp(images, shear_matrix(value, 0.0))


def _shear_y(images: torch.Tensor, value: float) -> torch.Tensor:
    return _warp(images, shear_matrix(0.0, value))


def _translate_x(images: torch.Tensor, value: float) -> torch.Tensor:
    return _warp(images, (1.0, 0.0, -float(int(value)), 0.0, 1.0, 0.0))


def _translate_y(images: torch.Tensor, value: float) -> torch.Tensor:
    return _warp(images, (1.0, 0.0, 0.0, 0.0, 1.0, -float(int(value))))


def _rotate(images: torch.Tensor, value: float) -> torch.Tensor:
    return _warp(images, rotation_matrix(images.shape[2], images.shape[3], value))


def _blend(base: torch.Tensor | float, images: torch.Tensor, factor: Any) -> torch.Tensor:
    blended: torch.Tensor = base + factor * (images.float() - base)
    return blended.clamp_(0, 255).to(torch.uint8)


def _gray(images: torch.Tensor) -> torch.Tensor:
    red, green, blue = images.int().unbind(1)
    return (red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2] + 0x8000).bitwise_right_shift(16)[:, None]


def _brightness(images: torch.Tensor, value: float) -> torch.Tensor:
    return _blend(0.0, images, 1.0 + value)


def _contrast(images: torch.Tensor, value: float) -> torch.Tensor:
    mean = (_gray(images).double().mean((1, 2, 3), keepdim=True) + 0.5).floor().float()
    return _blend(mean, images, 1.0 + value)


def _color(images: torch.Tensor, value: float) -> torch.Tensor:
    return _blend(_gray(images).float(), images, 1.0 + value)


def _sharpness(images: torch.Tensor, value: float) -> torch.Tensor:
    pixels = images.float()
    around = torch.nn.functional.avg_pool2d(pixels, 3, 1, divisor_override=1)
    smooth = pixels.clone()
    smooth[:, :, 1:-1, 1:-1] = ((around + 4 * pixels[:, :, 1:-1, 1:-1]) / 13 + 0.5).floor_()
    return _blend(smooth, images, 1.0 + value)


def _posterize(images: torch.Tensor, value: float) -> torch.Tensor:
    return images.bitwise_and(_SHADES - (1 << (8 - int(value))))


def _solarize(images: torch.Tensor, value: float) -> torch.Tensor:
    return torch.where(images < value, images, 255 - images)


def _autocontrast(images: torch.Tensor, _: float) -> torch.Tensor:
    low = images.amin((2, 3), keepdim=True).float()
    high = images.amax((2, 3), keepdim=True).float()
    scale = 255.0 / (high - low).clamp_(min=1)
    stretched = (images.float() * scale - low * scale).clamp_(0, 255).to(torch.uint8)
    return torch.where(high > low, stretched, images)


def _equalize(images: torch.Tensor, _: float) -> torch.Tensor:
    count, channels, height, width = images.shape
    flat = images.view(count * channels, height * width).long()
    counts = torch.zeros(count * channels, _SHADES, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    shades = torch.arange(_SHADES, device=images.device)
    last = torch.where(counts > 0, shades, 0).amax(1, keepdim=True)
    step = (height * width - counts.gather(1, last)) // 255
    below = counts.cumsum(1) - counts
    table = ((step // 2 + below) // step.clamp(min=1)).clamp_(0, 255)
    table = torch.where(step > 0, table, shades)
    return table.gather(1, flat).to(torch.uint8).view_as(images)


def _identity(images: torch.Tensor, _: float) -> torch.Tensor:
    return images


_OPS: Mapping[str, Callable[[torch.Tensor, float], torch.Tensor]] = MappingProxyType(
    {
        "Identity": _identity,
        "ShearX": _shear_x,
        "ShearY": _shear_y,
        "TranslateX": _translate_x,
        "TranslateY": _translate_y,
        "Rotate": _rotate,
        "Brightness": _brightness,
        "Color": _color,
        "Contrast": _contrast,
        "Sharpness": _sharpness,
        "Posterize": _posterize,
        "Solarize": _solarize,
        "AutoContrast": _autocontrast,
        "Equalize": _equalize,
    }
)
