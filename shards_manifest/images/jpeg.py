"""JPEGs through simplejpeg: bit for bit what Pillow decodes, in less time, and nothing where libjpeg warns."""

import threading

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.images.scans import check_scans

_EXIF_TAG_ORIENTATION = 0x0112
_EXIF_SEARCH = 1 << 16
_MARK, _START_OF_SCAN, _APPLICATION_1 = 0xFF, 0xDA, 0xE1
_IN_XMP = 0
_FULL = 8
"""Eighths of a whole: libjpeg scales by M / 8, in its transforms."""
START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = b"\xff\xd9"

_reused = threading.local()
_KEPT = 1 << 26
"""Bytes that the reused buffer may grow to."""


def read_rgbx(data: bytes, limits: Limits) -> tuple[Image.Image, bool] | None:
    """Return a JPEG's picture, of mode RGBX, and whether its bytes may serve as they are.

    The picture lies in a buffer that the next call overwrites. None where the JPEG is not of a simple kind, such as a
    CMYK one or one that must be turned.

    Raises:
        ImageError: it is larger than the limits, or has too many scans.
        ValueError: libjpeg warns about it.
    """
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    if colors not in ("YCbCr", "Gray"):
        return None
    check_scans(data, width, height, len("RGBX"), limits)
    if orientation(data) != 1:
        return None
    pixels, is_whole = _decode_rgbx(data, _buffer(height * width * len("RGBX")))
    image = Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)
    return image, is_whole and colors == "YCbCr"


def read_rgb(
    data: bytes | memoryview, limits: Limits, row: npt.NDArray[np.uint8], *, eighths: int = 0
) -> npt.NDArray[np.uint8] | None:
    """Return a JPEG's pixels, uint8 [H, W, 3], not turned; in `row` where they have its shape.

    Elsewhere they lie in a buffer that the next call overwrites. None where the JPEG's colors or its header are not of
    a simple kind.

    Args:
        data: the JPEG.
        limits: how large it may be.
        row: uint8 [H, W, 3], contiguous.
        eighths: decode at a scale of 1 to so many eighths, 7 at most, where that brings the short side to the row's.

    Raises:
        ImageError: it is larger than the limits, or has too many scans.
        ValueError: libjpeg warns about it.
    """
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    if colors not in ("YCbCr", "Gray", "RGB"):
        return None
    check_scans(data, width, height, 3, limits)
    least = (0, 0)
    if eighths and 0 < (scale := _eighths(min(height, width), min(row.shape[:2]))) <= eighths:
        height, width = least = -(-height * scale // _FULL), -(-width * scale // _FULL)
    buffer = row if (height, width) == row.shape[:2] else _buffer(height * width * 3)
    pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, "RGB", min_height=least[0], min_width=least[1], buffer=buffer
    )
    return row if buffer is row else pixels


def _eighths(side: int, target: int) -> int:
    """Return at which of libjpeg's scales, 1 to 7 eighths, a side comes to the target; 0 if at none.

    Sides of less than 8 pixels have the same length at several scales.
    """
    eighths, rest = divmod(target * _FULL, side)
    return eighths if side >= _FULL > eighths and not rest else 0


def examine_jpeg(data: bytes | memoryview, limits: Limits) -> tuple[int, int, bool]:
    """Return the width and height of a JPEG, and whether it is a color one, after decoding it.

    Raises:
        ImageError: it is larger than the limits, or has too many scans.
        ValueError: it is damaged, or libjpeg warns about it.
    """
    height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    check_scans(data, width, height, 3, limits)
    kind, size = ("Gray", height * width) if colors == "Gray" else ("RGB", height * width * 3)
    simplejpeg.decode_jpeg(data, kind, buffer=_buffer(size))
    return width, height, colors == "YCbCr"


def orientation(data: bytes | memoryview) -> int:
    """Return the EXIF orientation of a JPEG: 1 (upright) where it has none, 0 where Pillow must look into its XMP."""
    end = _header_end(data)
    if end == 0:
        return 1
    head = data if isinstance(data, bytes) else bytes(data[: 2 * _EXIF_SEARCH])
    if head.find(b"tiff:Orientation", 0, end) >= 0:
        return _IN_XMP
    start = head.find(b"Exif\0\0", 0, end)
    if start < 0:
        return 1
    exif = Image.Exif()
    try:
        exif.load(head[start : start + _EXIF_SEARCH])
        return int(exif.get(_EXIF_TAG_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:
        return 1


def _header_end(data: bytes | memoryview) -> int:
    """Return where to stop looking for a JPEG's orientation: at its pixels, or at 0 where no segment can hold it."""
    at, can_hold = len(START_OF_IMAGE), False
    try:
        while data[at] == _MARK and at < _EXIF_SEARCH:
            kind = data[at + 1]
            if kind == _START_OF_SCAN:
                return at if can_hold else 0
            can_hold = can_hold or kind == _APPLICATION_1
            at += 2 + (data[at + 2] << 8 | data[at + 3])
    except IndexError:
        pass
    return _EXIF_SEARCH


def _decode_rgbx(data: bytes, buffer: memoryview) -> tuple[npt.NDArray[np.uint8], bool]:
    """Return the pixels of a JPEG that libjpeg does not warn about, and whether its end mark is there."""
    try:
        return simplejpeg.decode_jpeg(data, "RGBX", buffer=buffer), True
    except ValueError:
        if data.endswith(_END_OF_IMAGE):
            raise
        # If only the end mark is missing, the image is whole. One that is really cut short fails here again.
        return simplejpeg.decode_jpeg(data + _END_OF_IMAGE, "RGBX", buffer=buffer), False


def _buffer(size: int) -> memoryview:
    """Return `size` bytes of a buffer that grows as needed: fresh memory for each image costs page faults.

    What an unusually large image needs is given back after it.
    """
    if size > _KEPT:
        return np.empty(size, np.uint8).data
    if len(getattr(_reused, "pixels", b"")) < size:
        _reused.pixels = np.empty(size, np.uint8)
    return memoryview(_reused.pixels)[:size]
