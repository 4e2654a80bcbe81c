"""The formats that are opened, recognized by their first bytes whatever the file is called."""

import importlib
import re
from dataclasses import dataclass
from functools import cache

from PIL import features

_HEAD = 64
"""Bytes that tell the format."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A format that is opened."""

    name: str
    """Lowercase; Pillow's name for it is the same in capitals."""
    signature: re.Pattern[bytes]
    """What its files begin with."""
    plugin: str
    """Pillow's module that reads it."""
    feature: str = ""
    """What Pillow must have been built with to read it; empty where every Pillow does."""


def _format(name: str, signature: bytes, plugin: str, feature: str = "") -> Codec:
    return Codec(name, re.compile(signature, re.DOTALL), f"PIL.{plugin}ImagePlugin", feature)


JPEG = _format("jpeg", rb"\xff\xd8\xff", "Jpeg")
PNG = _format("png", rb"\x89PNG\r\n\x1a\n", "Png")
WEBP = _format("webp", rb"RIFF....WEBPVP8[ LX]", "WebP", "webp")
TIFF = _format("tiff", rb"II\*\0|II\0\*|II\+\0|MM\0\*|MM\*\0|MM\0\+", "Tiff")
JPEG_2000 = _format("jpeg2000", rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", "Jpeg2K", "jpg_2000")

CODECS = (
    JPEG,
    PNG,
    WEBP,
    _format("gif", rb"GIF8[79]a", "Gif"),
    _format("bmp", rb"BM", "Bmp"),
    TIFF,
    JPEG_2000,
    _format("avif", rb"....ftyp(avi[fs]|m(if1|sf1)....(....)*avif)", "Avif", "avif"),
    # PBM, PGM and PPM: a line of text and bare samples, harmless to decode. The float variants PF and Pf are left out.
    _format("ppm", rb"P[1-6]\s", "Ppm"),
)
"""All formats that are opened. Nothing else reaches a decoder: EPS, PDF and WMF could start programs, and FLI, PSD, ICO
and the like are decoders that photographs do not need."""


def recognize(data: bytes | memoryview) -> Codec | None:
    """Return the format of image bytes, None where it is not one that is opened."""
    head = bytes(data[:_HEAD])
    return next((each for each in CODECS if each.signature.match(head)), None)


@cache
def pillow_reads(codec: Codec) -> bool:
    """Return whether Pillow reads a format here.

    This imports the format's plugin: `Image.open` would otherwise import all of Pillow's to find it.
    """
    try:
        importlib.import_module(codec.plugin)
    except ImportError:
        return False
    return not codec.feature or bool(features.check(codec.feature))
