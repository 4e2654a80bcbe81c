"""The operations of the random policy on arrays, each within one gray level of the package `randaugment`.

That package works in Pillow. Its shears are bicubic where torchvision's take the nearest pixel, its shears,
translations and rotations bring in gray where torchvision's bring in black, and it has two operations more. All others
are the same.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from in21k.shards_manifest.images.decode import Pixels
from in21k.train.arrays import IntArray
from in21k.train.images.ops_cpu import apply_op, gather, rotation_matrix, warp

GRAY = 128
"""Each channel of what comes from outside the image."""

CUTOUT_COLOR = (125, 122, 113)
"""Of the policy's own Cutout."""

Floats = npt.NDArray[np.float32]


def apply_random_op(name: str, image: Pixels, strength: float, place: Sequence[float]) -> Pixels:
    """Return an image after one operation, which may be the same array, unchanged.

    Args:
        name: one of `augment_draws.RANDOM_OPS`.
        image: uint8 [H, W, 3].
        strength: as `augment_draws.random_strength` returns it.
        place: y and x of Cutout's center, as shares of the sides; the other operations ignore it.
    """
    if name == "Cutout":
        return _cutout(image, strength, place)
    own = _OPS.get(name)
    return apply_op(name, image, strength) if own is None else own(image, strength)


def shear_sources(length: int, lines: int, slope: float) -> tuple[IntArray, Floats, npt.NDArray[np.bool_]]:
    """Return where the pixels of sheared lines are from, as Pillow's bicubic transformation has it.

    Args:
        length: pixels of a line.
        lines: their number.
        slope: how far a line is displaced from the one before, in pixels.

    Returns:
        int64 [lines, length]: the pixel to the left of each source (Pillow's second of four), which may be outside;
        float32 [lines, 1]: how far right of it the source is, 0 to 1; bool [lines, length]: whether that is inside.
    """
    shift = slope * (np.arange(lines) + 0.5)[:, None]
    centers = np.arange(length)[None, :] + 0.5 + shift
    first = np.floor(shift).astype(np.int64)
    return np.arange(length)[None, :] + first, (shift - first).astype(np.float32), (centers >= 0) & (centers < length)


def _shear_x(image: Pixels, slope: float) -> Pixels:
    height, width = image.shape[:2]
    left, between, inside = shear_sources(width, height, slope)
    starts = np.arange(height)[:, None] * width
    quads = [gather(image, starts + np.clip(left + tap, 0, width - 1), 0) for tap in range(-1, 3)]
    return _interpolated(quads, between[..., None], inside)


def _shear_y(image: Pixels, slope: float) -> Pixels:
    height, width = image.shape[:2]
    above, between, inside = shear_sources(height, width, slope)
    columns = np.arange(width)[None, :]
    quads = [gather(image, np.clip(above.T + tap, 0, height - 1) * width + columns, 0) for tap in range(-1, 3)]
    return _interpolated(quads, between.T[..., None], inside.T)


def _interpolated(quads: Sequence[Pixels], between: Floats, inside: npt.NDArray[np.bool_]) -> Pixels:
    """Return uint8 [H, W, 3]: the cubic through four pixels, with gray outside.

    Args:
        quads: four uint8 [H, W, 4], in the order of the line.
        between: float32, how far the source is from the second to the third, 0 to 1.
        inside: bool [H, W].
    """
    a, b, c, d = (each.astype(np.float32) for each in quads)
    value = b + between * (c - a + between * (2 * (a - b) + c - d + between * (b - a + d - c)))
    value[~inside] = GRAY
    result: Pixels = np.clip(value[..., :3], 0, 255).astype(np.uint8)  # truncated, as in Pillow
    return result


def _translate_x(image: Pixels, share: float) -> Pixels:
    return _shifted(image, int(np.floor(share * image.shape[1] + 0.5)), axis=1)


def _translate_y(image: Pixels, share: float) -> Pixels:
    return _shifted(image, int(np.floor(share * image.shape[0] + 0.5)), axis=0)


def _shifted(image: Pixels, shift: int, axis: int) -> Pixels:
    """Return an image whose pixels are from `shift` pixels further on."""
    moved = np.full_like(image, GRAY)
    size = image.shape[axis]
    target = [slice(None)] * 2
    source = [slice(None)] * 2
    target[axis] = slice(max(-shift, 0), size - max(shift, 0))
    source[axis] = slice(max(shift, 0), size - max(-shift, 0))
    moved[tuple(target)] = image[tuple(source)]
    return moved


def _rotate(image: Pixels, degrees: float) -> Pixels:
    return warp(image, rotation_matrix(image.shape[0], image.shape[1], degrees), GRAY)


def _invert(image: Pixels, _: float) -> Pixels:
    result: Pixels = cv2.bitwise_not(image)
    return result


def _autocontrast(image: Pixels, _: float) -> Pixels:
    """Stretch each channel with Pillow's table, which leaves one of full range as it is."""
    channels = []
    for channel in cv2.split(image):
        low, high, _low_at, _high_at = cv2.minMaxLoc(channel)
        scale = 255.0 / (high - low) if high > low else 1.0
        table = np.arange(256) * scale - (low * scale if high > low else 0.0)
        channels.append(cv2.LUT(channel, np.clip(table, 0, 255).astype(np.uint8)))
    result: Pixels = cv2.merge(channels)
    return result


def small_box(place: Sequence[float], side: float, height: int, width: int) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the policy's own Cutout, clipped to the image."""
    y, x, half = int(place[0] * height), int(place[1] * width), int(side) // 2
    return max(y - half, 0), min(y + half, height), max(x - half, 0), min(x + half, width)


def _cutout(image: Pixels, side: float, place: Sequence[float]) -> Pixels:
    top, bottom, left, right = small_box(place, side, *image.shape[:2])
    result = image.copy()
    result[top:bottom, left:right] = CUTOUT_COLOR
    return result


_OPS: Mapping[str, Callable[[Pixels, float], Pixels]] = MappingProxyType(
    {
        "Invert": _invert,
        "AutoContrast": _autocontrast,
        "ShearX": _shear_x,
        "ShearY": _shear_y,
        "TranslateX": _translate_x,
        "TranslateY": _translate_y,
        "Rotate": _rotate,
    }
)
