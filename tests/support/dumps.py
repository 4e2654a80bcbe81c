"""Small raw dumps of real images, made by Pillow and the standard library's tarfile alone."""

import io
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def photo(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Return a picture of width × height `size` without any symmetry: soft colours, some noise."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = random.integers(-12, 13, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(coarse).astype(int) + noise).clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, kind, **options)
    return encoded.getvalue()


def jpeg(seed: int = 0, size: tuple[int, int] = (40, 30), **options) -> bytes:
    return encode(photo(seed, size), **options)


def rotated_jpeg(orientation: int, seed: int = 0) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return jpeg(seed, exif=exif)


def ycck_jpeg(cmyk: Image.Image) -> bytes:
    """Return a CMYK picture as an Adobe YCCK JPEG, which Pillow reads but does not write.

    Its channels are written as if they were CMYK, which Pillow inverts, and the Adobe marker then says YCCK.
    """
    *cmy, key = cmyk.split()
    ycc = Image.merge("RGB", cmy).convert("YCbCr").split()
    inverted = [channel.point(lambda value: 255 - value) for channel in ycc]
    data = bytearray(encode(Image.merge("CMYK", [*inverted, key]), quality=100))
    data[data.index(b"\xff\xee\x00\x0eAdobe") + 15] = 2
    return bytes(data)


def sixteen_bit(seed: int = 0, size: tuple[int, int] = (40, 30)) -> np.ndarray:
    """Return 16-bit gray samples over their whole range."""
    return np.asarray(photo(seed, size).convert("L")).astype(np.uint16) * 257


def png_of_size(width: int, height: int) -> bytes:
    """Return a well-formed PNG that announces width × height pixels and holds next to none of them."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    """Return a JPEG whose frame header announces width × height pixels."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


TRUNCATED = jpeg(1, (64, 64))[:700]
HTML = b"<!DOCTYPE html><html><body>This photo is no longer available</body></html>\n"


def odd_images() -> dict[str, bytes]:
    """Return what real dumps hold under the name .JPEG and is still a picture, by kind."""
    palette = photo(12).quantize(16)
    frames = [photo(seed).quantize(32) for seed in (13, 14)]
    return {
        "gray": encode(photo(10).convert("L")),
        "cmyk": encode(photo(11).convert("CMYK")),
        "ycck": ycck_jpeg(photo(11).convert("CMYK")),
        "png": encode(photo(15), "PNG"),
        "transparent": encode(palette, "PNG", transparency=3),
        "gif": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "rotated": rotated_jpeg(6, 16),
        "one-pixel": encode(photo(17, (1, 1))),
        "progressive": jpeg(18, progressive=True),
    }


def tar_member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, len(content), linkname
    member.mtime, member.uname = 1_300_000_000, "somebody"
    return member


def tar_bytes(members: Iterable[tuple[str | tarfile.TarInfo, bytes]], tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return a tar made by the standard library; a member is a name or a TarInfo, and its content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tar_format, encoding="utf-8", errors="surrogateescape") as tar:
        for member, content in members:
            tar.addfile(tar_member(member, content) if isinstance(member, str) else member, io.BytesIO(content))
    return stream.getvalue()


Members = list[tuple[str | tarfile.TarInfo, bytes]]


def make_dump(
    path: Path, classes: Mapping[str, Members | bytes] | list[tuple[str, Members | bytes]], more: Members = ()
) -> Path:
    """Write a tar of class tars.

    Args:
        path: the file to write.
        classes: by wnid the files of each class, or the bytes of its tar; as a list of pairs where one comes twice.
        more: outer members that are no class tars.
    """
    pairs = classes.items() if isinstance(classes, Mapping) else classes
    tars = [(f"{wnid}.tar", files if isinstance(files, bytes) else tar_bytes(files)) for wnid, files in pairs]
    path.write_bytes(tar_bytes([*tars, *more], tarfile.GNU_FORMAT))
    return path


def images_of(wnid: str, count: int, size: tuple[int, int] = (24, 18)) -> Members:
    """Return a class's images under ImageNet's names, every one different."""
    return [(f"{wnid}_{number}.JPEG", jpeg(zlib.crc32(f"{wnid}{number}".encode()), size)) for number in range(count)]


def write_with_holes(path: Path, data: bytes) -> None:
    """Write a file whose blocks of zeros take no place, where the file system can do that."""
    with path.open("wb") as file:
        file.truncate(len(data))
        for start in range(0, len(data), 4096):
            if any(block := data[start : start + 4096]):
                file.seek(start)
                file.write(block)


def read_dump(path: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of a dump by wnid and name, through tarfile."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                files = {file.name: inner.extractfile(file).read() for file in inner if file.isreg()}
            found.setdefault(member.name.removesuffix(".tar"), {}).update(files)
    return found


KEPT = {"n00015388": 12, "n01317541": 10, "n01887787": 14, "n02084071": 11, "n09450163": 10}
"""animal, domestic animal, cow, dog and sun, with their numbers of images."""
MIN_IMAGES, VAL_PER_CLASS, SIZE, SAMPLES_PER_SHARD = 10, 3, 16, 7
PIPELINE = (
    *("--min-images", MIN_IMAGES, "--val-per-class", VAL_PER_CLASS),
    *("--size", SIZE, "--samples-per-shard", SAMPLES_PER_SHARD),
)
"""What the small dump is prepared with."""


NAMESPACE = ("unshare", "--map-root-user", "--mount", "sh", "-c")


def tiny(folder, kib: int) -> tuple[str, ...]:
    """Return what to put before a command so that a file system of some KiB lies over a folder."""
    script = f'mount -t tmpfs -o size={kib}k tmpfs "$0" && exec "$@"'
    return (*NAMESPACE, script, str(folder))
