"""One sample's bytes in a tar, parsed: an image, its label, and the key of both."""

import zlib
from dataclasses import dataclass

from in21k.shards_manifest.sample_table import LABEL_SUFFIX
from in21k.shards_manifest.tar import BLOCK, END, TarError, TarMember, padded, read_members

_LABEL = LABEL_SUFFIX.encode()


class ForeignSampleError(Exception):
    """The bytes hold something other than an image and its label; the message says what."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A sample's members."""

    key: str
    image: memoryview
    """The image file's bytes."""
    class_index: int


def parse_sample(content: memoryview, suffix: str) -> Parsed:
    """Return the sample in a piece of a tar: an image, then its label, both under one key.

    Args:
        content: from the sample's first header to the end of its last member's padding.
        suffix: the ending of the image's name.

    Raises:
        ForeignSampleError: there are other members, as in another dataset.
        TarError: a header is damaged.
        ValueError: the label is not a number.
    """
    return _plain(content, suffix.encode()) or _any(content, suffix)


def _plain(content: memoryview, suffix: bytes) -> Parsed | None:
    """Return the sample if its headers are as `in21k-prep shard` writes them, with correct checksums; else None."""
    image_header = bytes(content[:BLOCK])
    try:
        size = int(image_header[124:135], 8)
        label_at = BLOCK + padded(size)
        label_header = bytes(content[label_at : label_at + BLOCK])
        label_size = int(label_header[124:135], 8)
        name = image_header[: image_header.index(0, 0, 100)]
        key = name.removesuffix(suffix)
        if (
            len(content) != label_at + 2 * BLOCK
            or not 0 < label_size <= BLOCK
            or len(key) == len(name)
            or label_header[: len(key) + len(_LABEL) + 1] != key + _LABEL + b"\0"
            or not (_is_plain_header(image_header) and _is_plain_header(label_header))
        ):
            return None
        label = int(bytes(content[label_at + BLOCK : label_at + BLOCK + label_size]))
        return Parsed(key.decode("ascii"), content[BLOCK : BLOCK + size], label)
    except ValueError:
        return None


def _is_plain_header(header: bytes) -> bool:
    """Return whether a header is a regular file's in USTAR, without a prefix and with a correct checksum."""
    counted = (zlib.adler32(header) & 0xFFFF) - 1 - sum(header[148:156]) + 256  # see tar.py
    return (
        header[156:157] == b"0"
        and header[257:263] == b"ustar\0"
        and not header[345]
        and (int(header[148:154], 8) - counted) % 65521 == 0
    )


def _any(content: memoryview, suffix: str) -> Parsed:
    size = len(content)

    def read(offset: int, count: int) -> bytes:
        return bytes(content[offset : offset + count]) if offset < size else END[:count]

    members: list[TarMember] = list(read_members(read, 0, size + len(END)))
    if not members:
        raise TarError("its first header is empty")
    names = [member.name for member in members]
    key = names[0].removesuffix(suffix)
    if names != [key + suffix, key + LABEL_SUFFIX]:
        raise ForeignSampleError(f"its members are {', '.join(names[:5])}, not an image and its label")
    image, label = (content[member.offset : member.offset + member.size] for member in members)
    if not bytes(label).isdigit():
        raise ValueError(f"its label is {bytes(label)[:20]!r}, not a number")
    return Parsed(key, image, int(bytes(label)))
