"""Real files of every format that the image gateway opens, and files of others that it must not."""

import struct
from collections.abc import Callable
from contextlib import suppress

import cv2
import numpy as np
from dumps import encode, jpeg, jpeg_of_size, photo, png_of_size, sixteen_bit
from PIL import Image

from in21k.shards_manifest.images.decode import decode
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.images.limits import Limits


def by_opencv(suffix: str, image: Image.Image, *options: int) -> bytes:
    bgr = cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
    return cv2.imencode(suffix, bgr, options)[1].tobytes()


def webp_file(image: Image.Image, quality: int = 90) -> bytes:
    """Return a WebP; above a quality of 100 it is lossless."""
    return by_opencv(".webp", image, cv2.IMWRITE_WEBP_QUALITY, quality)


def transparent_webp(image: Image.Image) -> bytes:
    bgra = np.dstack([np.asarray(image)[..., ::-1], np.full(image.size[::-1], 7, np.uint8)])
    return cv2.imencode(".webp", bgra, [cv2.IMWRITE_WEBP_QUALITY, 90])[1].tobytes()


def damaged_in_the_middle() -> bytes:
    """Return a JPEG with its end mark that libjpeg decodes with a warning."""
    whole = jpeg(2, (120, 90))
    for at in range(len(whole) // 2, len(whole) - 8):
        damaged = whole[:at] + bytes(4) + whole[at + 4 :]
        with suppress(ImageError):
            if decode(damaged, Limits(pixels=10**6)).warning:
                return damaged
    raise AssertionError("no damage makes libjpeg warn")


PICTURE = photo(1, (48, 36))

FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encode(PICTURE),
    "png": lambda: encode(PICTURE, "PNG"),
    "webp": lambda: webp_file(PICTURE),
    "gif": lambda: encode(PICTURE.quantize(64), "GIF"),
    "bmp": lambda: encode(PICTURE, "BMP"),
    "tiff": lambda: encode(PICTURE, "TIFF"),
    "jpeg2000": lambda: by_opencv(".jp2", PICTURE),
    "avif": lambda: by_opencv(".avif", PICTURE),
    "ppm": lambda: encode(PICTURE, "PPM"),
}
"""The picture by the format's name."""

VARIANTS: dict[str, Callable[[], bytes]] = {
    **FILES,
    "lossless webp": lambda: webp_file(PICTURE, 101),
    "transparent webp": lambda: transparent_webp(PICTURE),
    "16-bit png": lambda: encode(Image.fromarray(sixteen_bit(1, PICTURE.size)), "PNG"),
    "16-bit tiff": lambda: encode(Image.fromarray(sixteen_bit(1, PICTURE.size)), "TIFF"),
    "float tiff": lambda: encode(PICTURE.convert("F"), "TIFF"),
    "interlaced gif": lambda: encode(PICTURE.quantize(64), "GIF", interlace=1),
    "transparent palette": lambda: encode(PICTURE.quantize(16), "PNG", transparency=3),
    "cmyk jpeg": lambda: encode(PICTURE.convert("CMYK")),
    "progressive jpeg": lambda: encode(PICTURE, progressive=True),
    "gray ppm": lambda: encode(PICTURE.convert("L"), "PPM"),
}

FOREIGN: dict[str, bytes] = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "pdf": b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n",
    "pdf with a jpeg": b"%PDF-1.4\n1 0 obj\n<< /Filter /DCTDecode >>\nstream\n"
    + encode(PICTURE)
    + b"\nendstream\n%%EOF\n",
    "fli": struct.pack("<IHHHHHHI", 128, 0xAF12, 1, 40, 30, 8, 3, 70) + bytes(108),
    "wmf": b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<4hHI", 0, 0, 40, 30, 96, 0) + bytes(64),
    "psd": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 30, 40, 8, 3) + bytes(64),
    "ico": encode(PICTURE, "ICO"),
    "pcx": encode(PICTURE, "PCX"),
    "tga": encode(PICTURE, "TGA"),
    "dib": encode(PICTURE, "DIB"),
    "float ppm": encode(PICTURE.convert("F"), "PPM"),
}
"""What Pillow would open and the gateway does not."""


def tiff_of_size(width: int, height: int) -> bytes:
    """Return a TIFF that announces width × height pixels and holds next to none of them."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 64}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(68)


def tiled_tiff(side: int) -> bytes:
    """Return a TIFF of 16 × 16 pixels in one tile of side × side."""
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: 64}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(68)


def webp_of_size(width: int, height: int, kind: str) -> bytes:
    """Return a WebP whose header of a kind (VP8, VP8L or VP8X) announces width × height pixels."""
    if kind == "VP8":
        body = b"\x50\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    elif kind == "VP8L":
        body = b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14) + bytes(5)
    else:
        body = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = kind.ljust(4).encode() + struct.pack("<I", len(body) + 32) + body + bytes(32)
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def jpeg_2000_of_size(width: int, height: int) -> bytes:
    """Return a JPEG 2000 codestream of which there is the header alone."""
    size = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, width, height, 0, 0, 3) + b"\x07\x01\x01" * 3
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size + b"\xff\x90" + bytes(64)


BOMBS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: jpeg_of_size(30_000, 30_000),
    "png": lambda: png_of_size(30_000, 30_000),
    "tiff": lambda: tiff_of_size(30_000, 30_000),
    "webp, extended": lambda: webp_of_size(30_000, 30_000, "VP8X"),
    "webp, lossy": lambda: webp_of_size(16_383, 16_383, "VP8"),
    "webp, lossless": lambda: webp_of_size(16_383, 16_383, "VP8L"),
    "gif of a small screen": lambda: (
        b"GIF89a" + struct.pack("<HH3xB4xHHB", 10, 10, 0x2C, 30_000, 30_000, 0) + b"\x08\x01\0\0;"
    ),
    "jpeg2000": lambda: jpeg_2000_of_size(30_000, 30_000),
    "gif": lambda: b"GIF89a" + struct.pack("<HH3xB4xHHB", 30_000, 30_000, 0x2C, 30_000, 30_000, 0) + b"\x08\x01\0\0;",
    "bmp": lambda: (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 200, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 64, 1, 1, 0, 0) + bytes(64)
    ),
    "ppm": lambda: b"P6 30000 30000 255\n" + bytes(64),
}
"""Small files that announce pictures too large to hold, as large as the format allows up to 30,000 × 30,000."""
