"""WebP through OpenCV or Pillow: either may be there without the other, or be built without WebP."""

import importlib
import io
import struct
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from in21k.shards_manifest.images.faults import ImageError, ImageFault, not_an_image
from in21k.shards_manifest.images.formats import WEBP, pillow_reads
from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.images.pillow import pixels_of, read_with_pillow, to_rgb, upright

_ALPHA_OF_VP8X, _ALPHA_OF_VP8L = 0x10, 1 << 28
_14_BITS = 0x3FFF

_BYTES_PER_PIXEL = 10
"""At most, as a lossless one is decoded: libwebp's and OpenCV's, or libwebp's and Pillow's."""


@cache
def opencv() -> Any:
    """Return the module cv2, None where OpenCV is not installed."""
    try:
        cv2: Any = importlib.import_module("cv2")
    except ImportError:
        return None
    # Damage is an ImageError; OpenCV would write lines about it to stderr as well.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


@cache
def opencv_has_webp() -> bool:
    """Return whether OpenCV is installed and was built with WebP."""
    cv2 = opencv()
    return cv2 is not None and bool(cv2.haveImageWriter(".webp"))


def webp_writer() -> str:
    """Return what writes WebP here: the version of Pillow's libwebp, else `OpenCV` and its version, else `none`."""
    if pillow_reads(WEBP):
        return str(features.version("webp"))
    return f"OpenCV {opencv().__version__}" if opencv_has_webp() else "none"


def read_webp(data: bytes | memoryview, limits: Limits) -> npt.NDArray[np.uint8]:
    """Return a WebP's pixels, or those of its first frame: uint8 [H, W, 3], upright.

    OpenCV and Pillow give the same pixels; OpenCV, the faster one, is asked first.

    Raises:
        ImageError: it is larger than the limits, or nothing reads WebP here.
        Exception: whatever else the decoder raises.
    """
    width, height, _ = webp_header(data)
    limits.check(width, height, _BYTES_PER_PIXEL)
    if opencv_has_webp():
        cv2 = opencv()
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise _broken(data)
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    if pillow_reads(WEBP):
        return pixels_of(to_rgb(upright(read_with_pillow(data, WEBP, limits), limits)))
    raise not_an_image(data, "neither Pillow nor OpenCV reads WebP here; pip install 'in21k[reference]'")


def write_webp(image: Image.Image, quality: int) -> bytes:
    """Return a picture as WebP, through Pillow where it was built with WebP and through OpenCV elsewhere.

    Args:
        image: of mode RGB or RGBX.
        quality: 1 to 100.

    Raises:
        RuntimeError: nothing writes WebP here; `webp_writer` says so beforehand.
    """
    rgb = image.convert("RGB")
    if pillow_reads(WEBP):
        encoded = io.BytesIO()
        rgb.save(encoded, "WEBP", quality=quality)
        return encoded.getvalue()
    if not opencv_has_webp():
        raise RuntimeError("neither Pillow nor OpenCV writes WebP here")
    cv2 = opencv()
    bgr = cv2.cvtColor(np.asarray(rgb), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])[1])


def webp_header(data: bytes | memoryview) -> tuple[int, int, bool]:
    """Return the width and height of a WebP by its header alone, and whether it has transparency.

    Raises:
        ImageError: the header is cut short or damaged.
    """
    kind, body = bytes(data[12:16]), bytes(data[20:30])  # the first chunk: its name, 4 bytes of length, its content
    if len(body) < 10:
        raise _broken(data)
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
        return width, height, bool(body[0] & _ALPHA_OF_VP8X)
    if kind == b"VP8L" and body[0] == 0x2F:
        (bits,) = struct.unpack_from("<I", body, 1)
        return (bits & _14_BITS) + 1, (bits >> 14 & _14_BITS) + 1, bool(bits & _ALPHA_OF_VP8L)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & _14_BITS, height & _14_BITS, False
    raise _broken(data)


def _broken(data: bytes | memoryview) -> ImageError:
    """Return the error for a WebP that does not decode: its own header tells how long it should be."""
    wanted = int.from_bytes(data[4:8], "little") + 8
    if len(data) < wanted:
        return ImageError(ImageFault.TRUNCATED, f"a WebP of {wanted} bytes, of which {len(data)} are there")
    return ImageError(ImageFault.DAMAGED, "a WebP that does not decode")
