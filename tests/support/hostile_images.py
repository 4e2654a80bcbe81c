"""Small files that ask for much: memory, time, or a program that Pillow would start."""

import struct
import zlib
from functools import cache

from dumps import encode, photo
from PIL import Image


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def empty_png(width: int, height: int, depth: int = 8, color: int = 2) -> bytes:
    """Return a sound PNG of zeros, without their pixels ever being in memory."""
    row = bytes(1 + width * depth * {0: 1, 2: 3, 6: 4}[color] // 8)
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


@cache
def jpeg_of_scans(scans: int, size: tuple[int, int] = (40, 30), *, progressive: bool = True) -> bytes:
    """Return a JPEG of one color whose last scan comes again and again."""
    data = encode(Image.new("RGB", size, "teal"), progressive=True) if progressive else without_interleaving(size)
    last = data.rindex(b"\xff\xda")
    times = scans - data.count(b"\xff\xda")
    return data[:-2] + data[last:-2] * times + data[-2:]


def without_interleaving(size: tuple[int, int]) -> bytes:
    """Return a sequential JPEG of a gray picture that announces three components and holds a scan of the first."""
    gray = encode(Image.new("L", size, 90))
    at = gray.index(b"\xff\xc0")
    frame = gray[at + 4 : at + 9] + b"\x03" + b"\x01\x11\0" + b"\x02\x11\0" + b"\x03\x11\0"
    return gray[:at] + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + gray[at + 13 :]


def jpeg_with_comment(comment: bytes) -> bytes:
    data = encode(photo(1))
    return data[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + data[2:]
