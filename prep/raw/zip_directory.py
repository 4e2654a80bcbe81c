"""The central directory of a zip, read in pieces: what lies where, without an object for each of a million members."""

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from in21k.prep.errors import PrepError
from in21k.shards_manifest.storage.ranges import RangeReader

STORED, DEFLATED = 0, 8
HEADER = 30
"""Bytes of a member's own header, without its name."""

_CHUNK = 1 << 20
_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_UNKNOWN = 0xFFFFFFFF
"""Stands for a number that the entry's zip64 field has."""
_LONGEST_COMMENT = 1 << 16


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A member of a zip, as the directory describes it."""

    name: str
    """Undecodable bytes are surrogate escapes."""
    offset: int
    """Where its own header begins; not past the directory, whatever that says."""
    packed: int
    """Its length in the zip in bytes."""
    size: int
    """Its length in bytes once unpacked."""
    method: int
    """How it is packed: STORED, DEFLATED, or something else."""
    is_encrypted: bool
    is_file: bool


@dataclass(frozen=True)
class Directory:
    """Where the central directory lies."""

    start: int
    end: int
    before: int
    """Bytes in front of the zip, which its offsets do not count."""


def find_directory(reader: RangeReader, text: str) -> Directory:
    """Return where the central directory of a zip lies.

    Raises:
        PrepError: the zip is cut short, damaged, or one of several disks.
    """
    start = max(0, reader.size - _END.size - _LONGEST_COMMENT)
    tail = reader.read(start, reader.size - start)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise PrepError(f"{text} is a zip that is cut short after {reader.size} bytes; download it again")
    _, disk, _, _, _, size, offset, _ = _END.unpack_from(tail, at)
    end = start + at
    place = reader.read(max(0, end - _END64_PLACE.size), _END64_PLACE.size)
    if place[:4] == b"PK\6\7":
        _, _, end64, _ = _END64_PLACE.unpack(place)
        content = reader.read(end64, _END64.size)
        if content[:4] != b"PK\6\6" or len(content) < _END64.size:
            raise PrepError(f"{text} is a damaged zip: its directory is not where it says; download it again")
        *_, size, offset = _END64.unpack(content)
        end = end64
    before = end - size - offset
    if before < 0 or (disk not in (0, 0xFFFF)):
        raise PrepError(f"{text} is a damaged zip or one of several disks; give it whole, as it was downloaded")
    return Directory(end - size, end, before)


def read_directory(reader: RangeReader, directory: Directory, text: str) -> Iterator[ZipEntry]:
    """Yield the members of a zip in the order of its directory.

    Raises:
        PrepError: the directory is damaged.
    """
    held, at, position = b"", 0, directory.start
    while True:
        while len(held) - at >= _ENTRY.size and len(held) - at >= (length := _length(held, at, text)):
            yield _entry(held[at : at + length], directory)
            at += length
        wanted = min(_CHUNK, directory.end - position)
        if not wanted:
            break
        held, at = held[at:] + reader.read(position, wanted), 0
        position += wanted
    if at < len(held):
        raise PrepError(f"{text} is a damaged zip: its directory ends within an entry; download it again")


def _length(held: bytes, at: int, text: str) -> int:
    fields = _ENTRY.unpack_from(held, at)
    if fields[0] != b"PK\1\2":
        raise PrepError(f"{text} is a damaged zip: its directory has something else than entries; download it again")
    return int(_ENTRY.size + fields[10] + fields[11] + fields[12])


def _entry(record: bytes, directory: Directory) -> ZipEntry:
    fields = _ENTRY.unpack_from(record)
    flags, method, packed, size, name_length, extra_length = (fields[at] for at in (3, 4, 8, 9, 10, 11))
    mode, offset = fields[15] >> 16, fields[16]
    name = record[_ENTRY.size : _ENTRY.size + name_length]
    extra = record[_ENTRY.size + name_length : _ENTRY.size + name_length + extra_length]
    size, packed, offset = with_zip64(extra, size, packed, offset)
    text = name.decode("utf-8", "surrogateescape")
    return ZipEntry(
        name=text,
        offset=min(offset + directory.before, directory.start),
        packed=packed,
        size=size,
        method=method,
        is_encrypted=bool(flags & 1),
        is_file=not text.endswith("/") and stat.S_IFMT(mode) in (0, stat.S_IFREG),
    )


def with_zip64(extra: bytes, *numbers: int) -> tuple[int, ...]:
    """Return unpacked size, packed size and, in the directory, offset: those too large for 32 bits from extras."""
    values: list[int] = []
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            values = [each for (each,) in struct.iter_unpack("<Q", extra[4 : 4 + length // 8 * 8])]
            break
        extra = extra[4 + length :]
    found = iter(values)
    return tuple(next(found, number) if number == _UNKNOWN else number for number in numbers)
