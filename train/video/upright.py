"""Frames as they are to be shown: turned and mirrored as a file's display matrix says."""

from typing import Any

import numpy as np

from in21k.shards_manifest.images.decode import Pixels
from in21k.train.video.faults import VideoError, VideoFault

_TOLERANCE = 0.0175
"""The tangent of a degree, by which FFmpeg lets a right angle be off."""


def upright(pixels: Pixels, matrix: bytes) -> Pixels:
    """Return a frame's pixels as they are to be shown, uint8 [H, W, 3].

    Args:
        pixels: as they were decoded.
        matrix: the display matrix, 9 int32 [a b u c d v x y w] in the machine's byte order, which shows a pixel at
            (p, q) at (a p + c q + x, b p + d q + y); empty for none.

    Raises:
        VideoError: the angle is no multiple of 90 degrees.
    """
    if not matrix:
        return pixels
    a, b, _, c, d = (float(value) for value in np.frombuffer(matrix, np.int32)[:5])
    straight, across = abs(a) + abs(d), abs(b) + abs(c)
    if across <= _TOLERANCE * straight:
        return _mirrored(pixels, a < 0, d < 0)
    if straight <= _TOLERANCE * across:
        return _mirrored(pixels.transpose(1, 0, 2), c < 0, b < 0)
    angle = np.degrees(np.arctan2(b, a))
    raise VideoError(VideoFault.ROTATED, f"to be shown at an angle of {angle:.0f} degrees; only right angles are")


def _mirrored(pixels: Pixels, sideways: bool, upside_down: bool) -> Pixels:
    turned: Any = pixels[:: -1 if upside_down else 1, :: -1 if sideways else 1]
    return np.ascontiguousarray(turned)
