"""An image file's bytes into a row of a batch."""

import io
import threading

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

MAX_PIXELS = 1 << 26
"""Larger images are refused by their header: a dataset of 224-pixel squares has none."""

CENTRE = (0.5, 0.5)
"""A crop from the middle."""

_PLAIN = frozenset(("YCbCr", "Gray", "RGB"))
_reused = threading.local()

Pixels = npt.NDArray[np.uint8]


def decode_into(content: memoryview | bytes | Pixels, row: Pixels, crop: tuple[float, float] | None = None) -> bool:
    """Decode an image to RGB into a row, and return whether that was possible; if not, the row is left undefined.

    An image of another size is squished to the row's, antialiased; or a square of its short side is cut out before. A
    JPEG that libjpeg warns about is refused: those of a prepared dataset have no fault until their bytes change.

    Args:
        content: a JPEG, or any other file that Pillow reads; or pixels, uint8 [H, W, 3].
        row: uint8 [H, W, 3], contiguous.
        crop: where to cut out a square, vertically and horizontally from 0 to 1; None squishes.
    """
    if isinstance(content, np.ndarray):
        fit_into(content, row, crop)
        return True
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _decode_webp(content, row, crop)
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return _decode_with_pillow(content, row, crop)
    if space not in _PLAIN:
        return _decode_with_pillow(content, row, crop)
    if height * width > MAX_PIXELS:
        return False
    try:
        if (height, width) == row.shape[:2]:
            simplejpeg.decode_jpeg(content, "RGB", buffer=row)
            return True
        pixels = _buffer(height * width * 3)
        fit_into(simplejpeg.decode_jpeg(content, "RGB", buffer=pixels), row, crop)
    except ValueError:
        return False
    return True


def _decode_webp(content: memoryview | bytes, row: Pixels, crop: tuple[float, float] | None) -> bool:
    """Decode by OpenCV, whose wheels have WebP; a Pillow that was compiled here may not."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # among them, too many pixels
        return False
    if pixels is None:
        return False
    fit_into(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), row, crop)
    return True


def _decode_with_pillow(content: memoryview | bytes, row: Pixels, crop: tuple[float, float] | None) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                return False
            fit_into(np.asarray(image.convert("RGB")), row, crop)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError):
        return False
    return True


def fit_into(pixels: Pixels, row: Pixels, crop: tuple[float, float] | None) -> None:
    """Cut a square out of an image where that is wanted, and bring it to the row's size."""
    height, width = pixels.shape[:2]
    if crop is not None:
        side = min(height, width)
        top, left = (int(at * (room - side + 1)) for at, room in zip(crop, (height, width), strict=True))
        pixels = pixels[top : top + side, left : left + side]
    if pixels.shape == row.shape:
        row[:] = pixels
        return
    size = (row.shape[1], row.shape[0])
    row[:] = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _buffer(size: int) -> memoryview:
    """Return `size` bytes of a buffer that grows as needed: fresh memory for each image costs page faults."""
    if len(getattr(_reused, "pixels", b"")) < size:
        _reused.pixels = np.empty(size, np.uint8)
    return memoryview(_reused.pixels)[:size]
