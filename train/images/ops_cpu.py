"""RandAugment's operations on arrays, each within one gray level of Pillow's, at several times the speed.

The geometric operations repeat Pillow's fixed-point arithmetic and are exact. OpenCV's own shear, rotate and equalize
differ from Pillow's, so OpenCV only gathers, looks up, counts and blends pixels. Tests compare all strengths.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import cv2
import numpy as np

from in21k.shards_manifest.images.decode import Pixels
from in21k.train.arrays import IntArray
from in21k.train.images.augment_draws import shear_matrix

Matrix = tuple[float, float, float, float, float, float]

_TRUNCATE = -0.5
"""Added to values that OpenCV rounds and Pillow truncates."""


def apply_op(name: str, image: Pixels, strength: float) -> Pixels:
    """Return an image after one operation, which may be the same array, unchanged.

    Args:
        name: one of `augment_draws.OPS`.
        image: uint8 [H, W, 3].
        strength: signed, as `augment_draws.strength` returns it; operations without a strength ignore it.
    """
    return _OPS[name](image, strength)


@lru_cache(maxsize=256)
def source_pixels(height: int, width: int, matrix: Matrix) -> IntArray:
    """Return int64 [H, W]: the source of each pixel of a transformed image, in Pillow's arithmetic.

    Pixels are numbered row by row; the number H W stands for everything outside the image.

    Args:
        height: of the image.
        width: of the image.
        matrix: a to f of x' = a x + b y + c, y' = d x + e y + f, for pixel corners.
    """
    a, b, c, d, e, f = matrix
    fixed = [math.floor(value * 65536 + 0.5) for value in (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)]
    columns = np.arange(width, dtype=np.int64)[None, :]
    rows = np.arange(height, dtype=np.int64)[:, None]
    x = (fixed[2] + fixed[0] * columns + fixed[1] * rows) >> 16
    y = (fixed[5] + fixed[3] * columns + fixed[4] * rows) >> 16
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.where(inside, y * width + x, height * width)


def rotation_matrix(height: int, width: int, degrees: float) -> Matrix:
    """Return Pillow's matrix of a counterclockwise rotation about the center."""
    angle = -math.radians(degrees % 360.0)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    return cos, sin, -x * cos - y * sin + x, -sin, cos, x * sin - y * cos + y


def gather(image: Pixels, sources: IntArray, shade: int) -> Pixels:
    """Return uint8 [H, W, 4]: the pixel at each source, with a fourth byte that means nothing.

    Args:
        image: uint8 [H, W, 3].
        sources: int64 [H, W]: the numbers of pixels; H W stands for what lies outside the image.
        shade: of what lies outside.
    """
    height, width = image.shape[:2]
    quads = np.full((height * width + 1, 4), shade, np.uint8)  # a pixel's four bytes are gathered as one number
    cv2.cvtColor(image, cv2.COLOR_RGB2RGBA, quads[:-1].reshape(height, width, 4))
    return quads.view(np.uint32).ravel().take(sources).view(np.uint8).reshape(height, width, 4)


def warp(image: Pixels, matrix: Matrix, shade: int = 0) -> Pixels:
    """Return an image after Pillow's affine transformation to the nearest pixel, with a shade of gray from outside."""
    gathered = gather(image, source_pixels(image.shape[0], image.shape[1], matrix), shade)
    result: Pixels = cv2.cvtColor(gathered, cv2.COLOR_RGBA2RGB)
    return result


def _shear_x(image: Pixels, strength: float) -> Pixels:
    return warp(image, shear_matrix(strength, 0.0))


def _shear_y(image: Pixels, strength: float) -> Pixels:
    return warp(image, shear_matrix(0.0, strength))


def _rotate(image: Pixels, degrees: float) -> Pixels:
    return warp(image, rotation_matrix(image.shape[0], image.shape[1], degrees))


def _translate_x(image: Pixels, strength: float) -> Pixels:
    shift = max(min(int(strength), image.shape[1]), -image.shape[1])
    moved = np.zeros_like(image)
    width = image.shape[1] - abs(shift)
    moved[:, max(shift, 0) : max(shift, 0) + width] = image[:, max(-shift, 0) : max(-shift, 0) + width]
    return moved


def _translate_y(image: Pixels, strength: float) -> Pixels:
    shift = max(min(int(strength), image.shape[0]), -image.shape[0])
    moved = np.zeros_like(image)
    height = image.shape[0] - abs(shift)
    moved[max(shift, 0) : max(shift, 0) + height] = image[max(-shift, 0) : max(-shift, 0) + height]
    return moved


def _brightness(image: Pixels, strength: float) -> Pixels:
    return _scaled(image, 1.0 + strength, 0.0)


def _contrast(image: Pixels, strength: float) -> Pixels:
    mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
    return _scaled(image, 1.0 + strength, -strength * int(mean + 0.5))


def _color(image: Pixels, strength: float) -> Pixels:
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    result: Pixels = cv2.addWeighted(gray, -strength, image, 1.0 + strength, _TRUNCATE)
    return result


def _sharpness(image: Pixels, strength: float) -> Pixels:
    """Blend with Pillow's SMOOTH in one kernel: the 3 × 3 neighborhood plus four times the pixel, over 13."""
    kernel = np.full((3, 3), -strength / 13, np.float32)
    kernel[1, 1] = 1.0 + strength - strength * 5 / 13
    result: Pixels = cv2.filter2D(image, -1, kernel, delta=_TRUNCATE)
    result[0], result[-1], result[:, 0], result[:, -1] = image[0], image[-1], image[:, 0], image[:, -1]
    return result


def _scaled(image: Pixels, factor: float, offset: float) -> Pixels:
    """Return the gray levels times a factor plus an offset, truncated."""
    result: Pixels = cv2.addWeighted(image, factor, image, 0.0, offset + _TRUNCATE)
    return result


def _posterize(image: Pixels, bits: float) -> Pixels:
    result: Pixels = cv2.bitwise_and(image, (256 - (1 << (8 - int(bits))),) * 4)
    return result


def _solarize(image: Pixels, threshold: float) -> Pixels:
    over = cv2.threshold(image, math.ceil(threshold) - 1, 255, cv2.THRESH_BINARY)[1]
    result: Pixels = cv2.bitwise_xor(image, over)
    return result


def _autocontrast(image: Pixels, _: float) -> Pixels:
    channels = []
    for channel in cv2.split(image):
        low, high, _low_at, _high_at = cv2.minMaxLoc(channel)
        scale = 255.0 / (high - low) if high > low else 1.0
        channels.append(_scaled(channel, scale, -low * scale) if high > low else channel)
    result: Pixels = cv2.merge(channels)
    return result


def _equalize(image: Pixels, _: float) -> Pixels:
    channels = []
    for channel in cv2.split(image):
        counts = cv2.calcHist([channel], [0], None, [256], [0, 256]).ravel().astype(np.int64)
        seen = counts[counts > 0]
        if step := int(channel.size - seen[-1]) // 255:
            table = np.clip((step // 2 + np.cumsum(counts) - counts) // step, 0, 255).astype(np.uint8)
            channel = cv2.LUT(channel, table)
        channels.append(channel)
    result: Pixels = cv2.merge(channels)
    return result


def _identity(image: Pixels, _: float) -> Pixels:
    return image


_OPS: Mapping[str, Callable[[Pixels, float], Pixels]] = MappingProxyType(
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
