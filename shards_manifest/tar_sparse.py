"""Files that a tar stores without their holes, in the four forms that GNU tar writes: old GNU, pax 0.0, 0.1 and 1.0."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

SPARSE = "S"
"""The type flag of the old GNU form."""
MAP = "GNU.sparse.map"
PAIRS = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
"""Pax 0.0 repeats these two; they are read as if they were one MAP, which is what pax 0.1 has."""

_BLOCK = 512
_MAX_MAP = 1 << 20

Pieces = list[tuple[int, int]]
"""Where each stored piece belongs in the file, and its length."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a tar stores of a file with holes."""

    offset: int
    """Where the first piece begins in the tar."""
    size: int
    """The length of all pieces."""
    is_whole: bool
    """Whether there is no hole, so that the pieces are the file."""


def stored_pieces(
    header: bytes, records: Mapping[str, bytes], offset: int, size: int, read: Callable[[int, int], bytes]
) -> Stored | None:
    """Return what is stored of a file with holes, None if the member is stored as it is.

    Args:
        header: the member's header.
        records: the pax records that belong to it.
        offset: where its content begins, the map of holes included.
        size: its content's length.
        read: returns the bytes at (offset, size).

    Raises:
        ValueError: the map is damaged.
        LookupError: it is cut.
    """
    if header[156:157] == SPARSE.encode():
        pieces, taken = _of_old_gnu(header, offset, read)
        real, left = _octal(header[483:495]), size  # the map lies before the content, and is not counted in it
    elif "GNU.sparse.major" in records:
        pieces, taken = _of_pax_1(offset, size, read)
        real, left = int(records["GNU.sparse.realsize"]), size - taken
    elif MAP in records or "GNU.sparse.size" in records:
        numbers = [int(number) for number in records.get(MAP, b"").split(b",") if number]
        pieces, taken = list(zip(numbers[::2], numbers[1::2], strict=True)), 0
        real, left = int(records["GNU.sparse.size"]), size
    else:
        return None
    return Stored(offset + taken, left, _is_whole(pieces, real, left))


def _is_whole(pieces: Pieces, real: int, stored: int) -> bool:
    """Return whether pieces of `stored` bytes in all are a file of `real` bytes without a hole."""
    ends = [0, *(start + length for start, length in pieces)]
    if any(length < 0 or start < end for (start, length), end in zip(pieces, ends, strict=False)):
        raise ValueError("pieces overlap")
    if stored != sum(length for _, length in pieces) or ends[-1] > real:
        raise ValueError("pieces and content differ in length")
    return stored == real


def _of_old_gnu(header: bytes, offset: int, read: Callable[[int, int], bytes]) -> tuple[Pieces, int]:
    """Return the pieces, and the length of the blocks behind the header that continue the map."""
    pieces, more, taken = _entries(header[386:482]), header[482], 0
    while more:
        if taken >= _MAX_MAP:
            raise ValueError("the map does not end")
        block = read(offset + taken, _BLOCK)
        pieces += _entries(block[:504])
        more = block[504]
        taken += _BLOCK
    return pieces, taken


def _entries(field: bytes) -> Pieces:
    entries = [field[at : at + 24] for at in range(0, len(field), 24)]
    return [(_octal(entry[:12]), _octal(entry[12:])) for entry in entries if entry[0]]


def _of_pax_1(offset: int, size: int, read: Callable[[int, int], bytes]) -> tuple[Pieces, int]:
    """Return the pieces, and the length of the blocks at the start of the content that hold the map."""
    data, numbers = b"", [b"0"]
    while len(numbers) < 2 * int(numbers[0]) + 2:  # behind the last line comes an incomplete one
        if len(data) >= min(size, _MAX_MAP):
            raise ValueError("the map does not end")
        block = read(offset + len(data), _BLOCK)
        if not block:
            raise ValueError("the map is cut")
        data += block
        numbers = data.split(b"\n") if b"\n" in data else [b"1"]
    count = int(numbers[0])
    values = [int(number) for number in numbers[1 : 2 * count + 1]]
    return list(zip(values[::2], values[1::2], strict=True)), len(data)


def _octal(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    return int(field.split(b"\0", 1)[0].strip() or b"0", 8)
