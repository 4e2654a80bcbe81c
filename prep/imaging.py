"""One image: bytes as they lie in the dump in, a squished RGB JPEG out, or the reason why not."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
import PIL
import simplejpeg
from PIL import Image, ImageOps, features

from in21k.prep.errors import PrepError
from in21k.prep.records import Reason

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")  # not EPS, which would start a program
_EXIF_TAG_ORIENTATION = 0x0112
_EXIF_SEARCH = 1 << 16
_END_OF_IMAGE = b"\xff\xd9"


class Filter(StrEnum):
    """Resampling filters, all antialiased."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


@dataclass(frozen=True)
class ResizeParameters:
    """What `resize` lets its user choose."""

    size: int = 224
    """Side of the square images, in pixels."""
    quality: int = 95
    """JPEG quality, 1 to 100."""
    filter: Filter = Filter.BICUBIC
    max_pixels: int = 128_000_000
    """Images with more pixels than this are refused before they are decoded."""

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise PrepError(f"--size {self.size}: give 8 to 4096 pixels")
        if not 1 <= self.quality <= 100:
            raise PrepError(f"--quality {self.quality}: give 1 to 100")


class ImageRejectedError(Exception):
    """An image that cannot be used, with its reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def resize_image(data: bytes, parameters: ResizeParameters) -> bytes:
    """Return an image of any kind and size as an RGB JPEG of size × size pixels (4:2:0), orientation applied.

    Plain JPEGs are decoded by simplejpeg, bit for bit as Pillow would; what it refuses goes to Pillow.

    Raises:
        ImageRejectedError: the bytes are no image, are cut short, or decode to too many pixels.
    """
    if not data:
        raise ImageRejectedError(Reason.EMPTY, "0 bytes")
    image = _decode_plain_jpeg(data, parameters.max_pixels) or _decode_any(data, parameters.max_pixels)
    side = parameters.size
    squished = image.resize((side, side), Image.Resampling[parameters.filter.name])
    encoded = io.BytesIO()
    squished.save(encoded, "JPEG", quality=parameters.quality, subsampling="4:2:0")
    return encoded.getvalue()


@cache
def decoder_versions() -> Mapping[str, str]:
    """Return the versions of what decides the bytes: the imaging package with its libjpeg, and simplejpeg."""
    package = "pillow-simd" if is_simd() else "pillow"
    libjpeg = features.version("libjpeg_turbo") or features.version("jpg") or "unknown"
    return {package: PIL.__version__, "libjpeg-turbo": str(libjpeg), "simplejpeg": simplejpeg.__version__}


def is_simd() -> bool:
    """Return whether the PIL package is pillow-simd's."""
    return ".post" in PIL.__version__


def _decode_plain_jpeg(data: bytes, max_pixels: int) -> Image.Image | None:
    """Return a grayscale or YCbCr JPEG in mode RGBX, None for anything else.

    The pixels lie in a buffer that the next call overwrites.
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        if colorspace not in ("YCbCr", "Gray") or width * height > max_pixels or _orientation(data) != 1:
            return None
        pixels = _strictly(data, height * width * 4)
    except ValueError:
        return None
    return Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)


def _strictly(data: bytes, size: int) -> Any:
    buffer = _buffer(size)
    try:
        return simplejpeg.decode_jpeg(data, "RGBX", buffer=buffer)
    except ValueError:
        if data.endswith(_END_OF_IMAGE):
            raise
        # Only the end mark may be missing: then the image is whole. What is really cut short is refused here again.
        return simplejpeg.decode_jpeg(data + _END_OF_IMAGE, "RGBX", buffer=buffer)


def _buffer(size: int) -> memoryview:
    """Return `size` bytes of a buffer that grows as needed: fresh memory for each image costs page faults."""
    global _pixels
    if len(_pixels) < size:
        _pixels = np.empty(size, np.uint8)
    return memoryview(_pixels)[:size]


_pixels: Any = np.empty(0, np.uint8)


def _orientation(data: bytes) -> int:
    """Return the EXIF orientation of a JPEG, 1 (upright) where it has none."""
    start = data.find(b"Exif\0\0", 0, _EXIF_SEARCH)
    if start < 0:
        return 1
    exif = Image.Exif()
    try:
        exif.load(data[start : start + _EXIF_SEARCH])
        return int(exif.get(_EXIF_TAG_ORIENTATION, 1))
    except Exception:
        return 1


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
        raise ImageRejectedError(Reason.NOT_AN_IMAGE, f"{len(data)} bytes beginning {data[:16]!r}") from None
    except Image.DecompressionBombError as error:
        raise ImageRejectedError(Reason.TOO_MANY_PIXELS, str(error)) from None
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
