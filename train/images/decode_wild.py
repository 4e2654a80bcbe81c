"""Images as they are found: upright by their EXIF orientation, and decoded where libjpeg only warns."""

import io

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from in21k.shards_manifest.errors import one_line
from in21k.train.images.decode import MAX_PIXELS, Pixels, decode_into, fit_into

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM")  # not EPS, which would start a program
_EXIF = b"Exif\0\0"
_HEADERS = 1 << 16
"""Bytes in which a JPEG's orientation is looked for."""


class ImageError(Exception):
    """An image that cannot be read; the message says why."""


def read_pixels(content: bytes) -> Pixels:
    """Return an image file's pixels, uint8 [H, W, 3], upright.

    Raises:
        ImageError: it is no image, is cut short, or has too many pixels.
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content)
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{image.width} × {image.height} pixels are more than {MAX_PIXELS >> 20} million")
            return np.asarray(_rgb(ImageOps.exif_transpose(image)))
    except UnidentifiedImageError:
        raise ImageError("no image of a kind that is read") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise ImageError(one_line(error)) from error


def decode_wild(content: memoryview | bytes | Pixels, row: Pixels, crop: tuple[float, float] | None = None) -> bool:
    """Decode an image to RGB into a row, and return whether that was possible; as `decode_into` does.

    Args:
        content: an image file's bytes, or pixels, uint8 [H, W, 3].
        row: uint8 [H, W, 3], contiguous.
        crop: where to cut out a square, vertically and horizontally from 0 to 1; None squishes.
    """
    turned = not isinstance(content, np.ndarray) and bytes(content[:_HEADERS]).find(_EXIF) >= 0
    if not turned and decode_into(content, row, crop):
        return True
    if isinstance(content, np.ndarray):
        return False
    try:
        fit_into(read_pixels(bytes(content)), row, crop)
    except ImageError:
        return False
    return True


def _rgb(image: Image.Image) -> Image.Image:
    """Return an image in mode RGB: 16-bit samples scaled, transparency dropped."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.int64)
        return Image.fromarray((samples.clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _webp(content: bytes) -> Pixels:
    """Decode by OpenCV, whose wheels have WebP; a Pillow that was compiled here may not."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # among them, too many pixels
        raise ImageError(one_line(error)) from error
    if pixels is None:
        raise ImageError("no image of a kind that is read")
    found: Pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return found
