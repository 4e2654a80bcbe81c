"""An image file's bytes into a row of a batch."""

import io

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

MAX_PIXELS = 1 << 26
"""Larger images are refused by their header: a dataset of 224-pixel squares has none."""

Pixels = npt.NDArray[np.uint8]


def decode_into(content: memoryview | bytes, row: Pixels) -> bool:
    """Decode an image to RGB into a row, and return whether that was possible; if not, the row is left undefined.

    An image of another size is squished to the row's, antialiased.

    Args:
        content: a JPEG, or any other file that Pillow reads.
        row: uint8 [H, W, 3], contiguous.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(content)
        if (height, width) == row.shape[:2]:
            simplejpeg.decode_jpeg(content, "RGB", buffer=row)
            return True
    except ValueError:
        pass  # Pillow reads more than it refuses
    return _decode_with_pillow(content, row)


def _decode_with_pillow(content: memoryview | bytes, row: Pixels) -> bool:
    height, width = row.shape[:2]
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                return False
            rgb = image.convert("RGB")
        row[:] = np.asarray(
            rgb if rgb.size == (width, height) else rgb.resize((width, height), Image.Resampling.BICUBIC)
        )
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError):
        return False
    return True
