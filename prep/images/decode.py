"""Image bytes of any kind to an upright RGB picture, or the reason why not."""

import io
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL
import simplejpeg
from PIL import Image, ImageOps, features

from in21k.prep.records import Reason

_FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "TIFF",
    *(("WEBP",) if features.check("webp") else ()),
)  # not EPS, which would start a program
_EXIF_TAG_ORIENTATION = 0x0112
_EXIF_SEARCH = 1 << 16
_MARK, _START_OF_SCAN, _APPLICATION_1 = 0xFF, 0xDA, 0xE1
_IN_XMP = 0
_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = b"\xff\xd9"


class ImageRejectedError(Exception):
    """An image that cannot be used, with its reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image."""

    pixels: Image.Image
    """Upright, of mode RGB or RGBX; one of mode RGBX lies in a buffer that the next call overwrites."""
    is_plain: bool
    """Whether it came from a color JPEG without a fault: its bytes may serve as they are."""
    warning: str = ""
    """What libjpeg said of damage that it decoded over; empty where it said nothing."""


def decode(data: bytes, max_pixels: int) -> Picture:
    """Return the picture that image bytes hold.

    Plain JPEGs are decoded by simplejpeg, bit for bit as Pillow would; what it refuses goes to Pillow.

    Args:
        data: the bytes as they lie in the dump.
        max_pixels: an image with more is refused before it is decoded.

    Raises:
        ImageRejectedError: the bytes are no image, are cut short, or would decode to too many pixels.
    """
    if not data:
        raise ImageRejectedError(Reason.EMPTY, "0 bytes")
    if not data.startswith(_START_OF_IMAGE):
        return Picture(_decode_any(data, max_pixels), is_plain=False)
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        is_simple = colorspace in ("YCbCr", "Gray") and width * height <= max_pixels and orientation(data) == 1
    except ValueError:
        is_simple = False
    if not is_simple:
        return Picture(_decode_any(data, max_pixels), is_plain=False)
    try:
        pixels, is_whole = _strictly(data, height * width * 4)
    except ValueError as error:
        return Picture(_decode_any(data, max_pixels), is_plain=False, warning=str(error))
    image = Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)
    return Picture(image, is_plain=is_whole and colorspace == "YCbCr")


def orientation(data: bytes) -> int:
    """Return the EXIF orientation of a JPEG: 1 (upright) where it has none, 0 where Pillow must look into its XMP."""
    end = _header_end(data)
    if end == 0:
        return 1
    if data.find(b"tiff:Orientation", 0, end) >= 0:
        return _IN_XMP
    start = data.find(b"Exif\0\0", 0, end)
    if start < 0:
        return 1
    exif = Image.Exif()
    try:
        exif.load(data[start : start + _EXIF_SEARCH])
        return int(exif.get(_EXIF_TAG_ORIENTATION, 1))
    except Exception:
        return 1


def _header_end(data: bytes) -> int:
    """Return where to stop looking for a JPEG's orientation: at its pixels, or at 0 where no segment can hold it."""
    at, can_hold = len(_START_OF_IMAGE), False
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


def _strictly(data: bytes, size: int) -> tuple[Any, bool]:
    """Return the pixels of a JPEG that libjpeg does not warn about, and whether its end mark is there."""
    buffer = _buffer(size)
    try:
        return simplejpeg.decode_jpeg(data, "RGBX", buffer=buffer), True
    except ValueError:
        if data.endswith(_END_OF_IMAGE):
            raise
        # Only the end mark may be missing: then the image is whole. What is really cut short is refused here again.
        return simplejpeg.decode_jpeg(data + _END_OF_IMAGE, "RGBX", buffer=buffer), False


def _buffer(size: int) -> memoryview:
    """Return `size` bytes of a buffer that grows as needed: fresh memory for each image costs page faults."""
    if len(getattr(_reused, "pixels", b"")) < size:
        _reused.pixels = np.empty(size, np.uint8)
    return memoryview(_reused.pixels)[:size]


_reused = threading.local()


def _decode_any(data: bytes, max_pixels: int) -> Image.Image:
    """Return what Pillow decodes, in mode RGB and upright."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height > max_pixels:
            raise ImageRejectedError(Reason.TOO_MANY_PIXELS, f"{image.width} × {image.height} pixels")
        image.load()
        return _to_rgb(_upright(image))
    except (ImageRejectedError, MemoryError):
        raise
    except PIL.UnidentifiedImageError:
        detail = f"{len(data)} bytes beginning {data[:16]!r}"
        if data[8:12] == b"WEBP" and "WEBP" not in _FORMATS:
            detail += "; PIL was built without WebP"
        raise ImageRejectedError(Reason.NOT_AN_IMAGE, detail) from None
    except Exception as error:
        reason = Reason.TRUNCATED if "truncated" in str(error).lower() else Reason.DAMAGED
        raise ImageRejectedError(reason, f"{type(error).__name__}: {error}") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return an image in mode RGB: 16-bit samples scaled, transparency dropped, as OpenCV and torchvision do."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.int64)
        image = Image.fromarray((samples.clip(0, 65535) >> 8).astype(np.uint8))
    return image.convert("RGB")


Image.MAX_IMAGE_PIXELS = None  # ours is checked before decoding, for every format
