"""Tar headers, read and written as 512-byte blocks: the fast path for millions of members.

The standard library's tarfile reads 12,000 to 25,000 members per second. This reader is several times as fast
(docs/performance.md) and understands what dumps contain: USTAR, the long names and sizes of GNU and pax, links, and
files with holes. It never extracts.
"""

import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from in21k.shards_manifest.tar_sparse import MAP, PAIRS, SPARSE, stored_pieces

BLOCK = 512
END = bytes(2 * BLOCK)
"""The end-of-archive marker."""

JUNK = "junk"
"""The type of what `read_joined_members` finds behind an end mark if it is not a tar."""

_MAX_EXTENSION = 1 << 20
_SKIM = 1 << 20
"""Bytes per read behind an end mark."""

Read = Callable[[int, int], bytes]
"""Returns the bytes at (offset, size), fewer at the end of the file."""


class TarError(Exception):
    """The bytes are not a tar, or a damaged one; the message says where."""


@dataclass(slots=True)  # if it were frozen, it would take nine times as long to make, and there are millions
class TarMember:
    """A member of a tar."""

    name: str
    """As stored; undecodable bytes become surrogate escapes."""
    offset: int
    """Where its content begins."""
    size: int
    """Its content's length in bytes."""
    type: str
    """Tar's type flag: "0" for regular files, "S" for those that are stored without their holes; or JUNK."""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.type == "0"

    @property
    def end(self) -> int:
        """Where the next header begins."""
        return self.offset + padded(self.size)


@dataclass(slots=True)
class TarLink(TarMember):
    """A hard link, a symbolic link, or another member without content."""

    target: str
    """What it leads to, as stored."""


def padded(size: int) -> int:
    """Return a size rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def member_header(name: str, size: int) -> bytes:
    """Return the USTAR header of a regular file, with fixed owner, mode and time.

    Raises:
        ValueError: the name is not 1 to 100 bytes of ASCII, or the size is 8 GiB or more.
    """
    encoded = name.encode("ascii")
    if not 0 < len(encoded) <= 100 or not 0 <= size < 8**11:
        raise ValueError(f"no USTAR header for {name!r} of {size} bytes")
    length = b"%011o" % size
    checksum = b"%06o\0 " % (_HEADER_SUM + sum(encoded) + sum(length))
    return b"".join(
        (encoded, _HEADER[len(encoded) : 124], length, _HEADER[135:148], checksum, _HEADER[156:])
    )  # from a template: every image needs two headers


def _header_template() -> bytes:
    """Return a header without name and size; its checksum field is spaces, as the checksum counts them."""
    header = bytearray(BLOCK)
    header[100:107] = b"0000644"
    header[108:115] = header[116:123] = b"0000000"
    header[136:147] = b"0" * 11
    header[148:156] = b" " * 8
    header[156:157] = b"0"
    header[257:265] = b"ustar\x0000"
    return bytes(header)


_HEADER = _header_template()
_HEADER_SUM = sum(_HEADER)


def member_bytes(name: str, content: bytes) -> bytes:
    """Return a regular file's header, content and padding."""
    return b"".join(member_pieces(name, content))


def member_pieces(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a regular file's header, content and padding, for callers that join several members at once."""
    return member_header(name, len(content)), content, bytes(-len(content) % BLOCK)


def content_size(member: bytes) -> int:
    """Return the length in bytes of a regular file's content, from its header as `member_header` makes it."""
    return int(member[124:135], 8)


def read_members(read: Read, start: int, end: int) -> Generator[TarMember, None, int]:
    """Yield the members of the tar in the bytes `start` to `end`, reading headers alone; return where its end mark is.

    Args:
        read: returns the bytes at (offset, size), fewer at the end of the file.
        start: where the tar begins.
        end: where it ends; the end-of-archive marker must come before.

    Raises:
        TarError: a header is damaged, a member reaches past the end, or the end-of-archive marker is missing.
    """
    position = start
    records: dict[str, bytes] = {}  # what extension headers say of the next member
    while position + BLOCK <= end:
        header = read(position, BLOCK)
        if len(header) < BLOCK:
            break
        if not header[0]:
            if header.count(0) == BLOCK:
                return position
            raise TarError(f"no tar header at byte {position - start}")
        member = _parse(header, position, start, records)
        if records or member.type == SPARSE:
            member = _without_holes(member, header, records, read)
        if member.offset + member.size > end:
            raise TarError(
                f"{member.name!r} at byte {position - start} ends {member.offset + member.size - end} bytes too late"
            )
        position = member.end
        if member.type in "LKxg":
            records = {**records, **_extension(member, read)}
            continue
        if records:
            records = {}
        yield member
    raise TarError(f"the end-of-archive mark is missing after byte {position - start}")


def read_joined_members(read: Read, start: int, end: int) -> Iterator[TarMember]:
    """Yield the members of tars that were joined end to end, as `tar --ignore-zeros` does.

    Bytes behind an end mark that are neither zeros nor a tar come last, as one member of type JUNK.

    Raises:
        TarError: as `read_members`, in any of the tars.
    """
    while True:
        mark = yield from read_members(read, start, end)
        following = _first_used_block(read, mark, end)
        if following is None:
            return
        if not is_header(read(following, BLOCK)):
            yield TarMember("", following, _length(read, following, end), JUNK)
            return
        start = following


def is_header(block: bytes) -> bool:
    """Return whether a block is a tar header, by its checksum."""
    if len(block) < BLOCK or not block[0]:
        return False
    try:
        _parse(block, 0, 0, {})
    except TarError:
        return False
    return True


def _first_used_block(read: Read, position: int, end: int) -> int | None:
    """Return where the first block from `position` on begins that has anything but zeros, None if none has."""
    while position < end:
        wanted = min(_SKIM, end - position)
        data = read(position, wanted)
        zeros = len(data) - len(data.lstrip(b"\0"))
        if zeros < len(data):
            return position + zeros // BLOCK * BLOCK
        if len(data) < wanted:
            return None
        position += wanted
    return None


def _length(read: Read, start: int, end: int) -> int:
    """Return the number of bytes from `start` to `end`, or to the end of the file if that comes first."""
    position = start
    while position < end and (data := read(position, min(_SKIM, end - position))):
        position += len(data)
    return position - start


def _parse(header: bytes, position: int, start: int, records: dict[str, bytes]) -> TarMember:
    """Return the member of a header; `records` come from extension headers before it."""
    # The low half of adler32 is 1 + the sum of all bytes, modulo 65,521: the header checksum at C speed. The checksum
    # counts its own field as eight spaces.
    stored = header[148:156].split(b"\0", 1)[0].strip()
    counted = (zlib.adler32(header) & 0xFFFF) - 1 - sum(header[148:156]) + 256
    try:
        if (int(stored, 8) - counted) % 65521:
            raise TarError(f"the header at byte {position - start} has a wrong checksum")
        size = _pax_size(records["size"]) if records and "size" in records else _number(header[124:136])
        if size < 0:
            raise ValueError
    except ValueError:
        raise TarError(f"no tar header at byte {position - start}") from None
    if records and "path" in records:
        name = _text(records["path"])
    else:
        name = _text(header[:100])
        if header[345] and header[257:263] == b"ustar\0":
            name = f"{_text(header[345:500])}/{name}"
    kind = "0" if header[156] in b"\x007" else chr(header[156])
    if not header[156] and name.endswith("/"):
        kind = "5"  # how tars before POSIX mark folders
    if kind in "123456":
        return TarLink(name, position + BLOCK, 0, kind, _text(records.get("linkpath", header[157:257])))
    return TarMember(name, position + BLOCK, size, kind)


def _without_holes(member: TarMember, header: bytes, records: dict[str, bytes], read: Read) -> TarMember:
    """Return a member as it is, or as a plain file or one of type SPARSE if it is stored without its holes.

    Raises:
        TarError: its map of holes is damaged.
    """
    try:
        stored = stored_pieces(header, records, member.offset, member.size, read)
    except (ValueError, LookupError):
        raise TarError(f"the map of holes of {member.name!r} is damaged") from None
    if stored is None:
        return member
    name = _text(records["GNU.sparse.name"]) if "GNU.sparse.name" in records else member.name
    return TarMember(name, stored.offset, stored.size, "0" if stored.is_whole else SPARSE)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU's base-256, for sizes of 8 GiB or more
        return int.from_bytes(field[1:], "big")
    return int(field.split(b"\0", 1)[0].strip() or b"0", 8)


def _extension(member: TarMember, read: Read) -> dict[str, bytes]:
    """Return what a GNU or pax extension header says of the next member, by pax's names."""
    if member.size > _MAX_EXTENSION:
        raise TarError(f"an extension header of {member.size} bytes")
    content = read(member.offset, member.size)
    if member.type == "x":
        return _pax_records(content)
    return {} if member.type == "g" else {"path" if member.type == "L" else "linkpath": content}


def _pax_size(value: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        raise TarError(f"a pax header with size {value[:20]!r}") from None


def _pax_records(content: bytes) -> dict[str, bytes]:
    records: dict[str, bytes] = {}
    try:
        while content:
            length = int(content[: content.index(b" ")])
            record, content = content[:length], content[length:]
            key, value = record[record.index(b" ") + 1 : -1].split(b"=", 1)
            if key in PAIRS and MAP in records:  # the one key that comes again and again
                value = records[MAP] + b"," + value
            records[MAP if key in PAIRS else key.decode("utf-8")] = value
            if length <= 0:
                raise ValueError
    except ValueError:
        raise TarError("a pax header is damaged") from None
    return records
