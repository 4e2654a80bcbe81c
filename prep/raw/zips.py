"""Dumps that are a zip of class folders, as Kaggle gives them: listed by its directory, unpacked image by image."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import numpy as np

from in21k.prep.raw.class_labels import ClassLabels
from in21k.prep.raw.dump import RawBatch
from in21k.prep.raw.members import reject
from in21k.prep.raw.names import base_name, name_in_class, name_reject
from in21k.prep.raw.pieces import open_pieces
from in21k.prep.raw.samples import Labeled
from in21k.prep.raw.source import Content, RangeSource, Run
from in21k.prep.raw.zip_directory import DEFLATED, HEADER, STORED, ZipEntry, find_directory, read_directory, with_zip64
from in21k.prep.records import RawImage, Reason
from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.shards_manifest.storage.location import Location

LAYOUT = "zip-of-class-folders"

_MAGIC = b"PK\3\4"
_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR_FLAG = 8
"""Lengths and CRC-32 of a member are behind it."""
_LARGEST = 64 << 20
"""Bytes that an image may unpack to, as for one that was gzipped by itself."""
_MOST_AROUND = HEADER + 2 * 0xFFFF + 24
"""Bytes that a member's headers may take."""
_ENTRIES_AT_ONCE = 1 << 13


class ZipDump:
    """A zip of class folders; its members may lie in any order."""

    is_mixed: Literal[True] = True
    layout = LAYOUT
    unit = "B"

    def __init__(self, location: Location, labels: ClassLabels) -> None:
        """Find its directory.

        Args:
            location: the zip, or a pattern that names its pieces.
            labels: how its folders name classes.

        Raises:
            PrepError: it is cut short or damaged.
        """
        self._location = location
        self._labels = labels
        reader = open_pieces(location)
        try:
            self.size = reader.size
            self._directory = find_directory(reader, location.text)
            digest = hashlib.sha256()
            for start in range(self._directory.start, self._directory.end, 1 << 20):
                digest.update(reader.read(start, min(1 << 20, self._directory.end - start)))
            self._digest = digest.hexdigest()
        finally:
            reader.close()

    def identity(self) -> dict[str, Any]:
        """Return the layout, the length, and a digest of the zip's directory."""
        return {"layout": self.layout, "bytes": self.size, "directory_sha256": self._digest}

    def batches(self) -> Iterator[RawBatch]:
        """Yield the images in the order of the directory, some thousand at once.

        Raises:
            PrepError: the directory is damaged.
        """
        reader = open_pieces(self._location)
        try:
            offsets = (entry.offset for entry in read_directory(reader, self._directory, self._location.text))
            places = np.append(np.sort(np.fromiter(offsets, np.int64)), self._directory.start)
            entries = read_directory(reader, self._directory, self._location.text)
            done = 0
            while batch := list(islice(entries, _ENTRIES_AT_ONCE)):
                found = Labeled()
                following = places[np.searchsorted(places[:-1], [entry.offset for entry in batch], side="right")]
                for entry, end in zip(batch, following.tolist(), strict=True):
                    self._sort_in(entry, end, found)
                done += len(batch)
                yield RawBatch(found.wnids, found.images, found.rejects, self.size * done // (len(places) - 1))
        finally:
            reader.close()

    def _sort_in(self, entry: ZipEntry, end: int, found: Labeled) -> None:
        """Add a member to what was found; `end` is where the next one begins."""
        if entry.name.endswith("/"):
            return
        split, wnid = self._labels.of_folder(entry.name.rpartition("/")[0])
        refused = name_reject(wnid, entry.name, entry.size, entry.is_file, "neither a file nor a folder")
        why = _obstacle(entry, end)
        if refused is not None:
            found.rejects.append(refused)
        elif why:
            found.rejects.append(reject(wnid, base_name(entry.name), Reason.UNREADABLE_MEMBER, why))
        elif not wnid:
            found.rejects.append(reject("", entry.name, Reason.NOT_IN_A_CLASS, "beside the class folders"))
        else:
            region = min(end, entry.offset + entry.packed + _MOST_AROUND) - entry.offset
            found.wnids.append(wnid)
            found.images.append(RawImage(name_in_class(entry.name, wnid), "", entry.offset, region, split))


class ZipSource(RangeSource):
    """Images in a zip; each one's range is its member with all that is around it, up to the next one."""

    def __init__(self, raw: Location, work: Location) -> None:
        super().__init__(raw, work)
        self._open[""] = open_pieces(raw)

    def read(self, run: Run) -> list[Content]:
        """Return the content of each image, unpacked, or why it cannot be unpacked.

        Raises:
            DatasetError: the zip ends before an image does.
        """
        return [_unpacked(content) if isinstance(content, bytes) else content for content in super().read(run)]


def open_zip(raw: Location, labels: ClassLabels) -> ZipDump | None:
    """Return the dump that is a zip, whole or in the pieces that a pattern names, None if it is something else."""
    reader = open_pieces(raw)
    try:
        if reader.read(0, len(_MAGIC)) != _MAGIC:
            return None
    finally:
        reader.close()
    return ZipDump(raw, labels)


def _obstacle(entry: ZipEntry, end: int) -> str:
    """Return why a member cannot be read, empty if it can."""
    if entry.is_encrypted:
        return "it is encrypted"
    if entry.method not in (STORED, DEFLATED):
        return f"it is packed by method {entry.method}; only stored and deflated members are read"
    if entry.size > _LARGEST or entry.packed > _LARGEST:
        return f"it unpacks to {max(entry.size, entry.packed)} bytes, more than {_LARGEST}"
    if entry.offset + HEADER + entry.packed > end:
        return f"its {entry.packed} bytes at byte {entry.offset} reach beyond the next member"
    return ""


def _unpacked(member: bytes) -> Content:
    """Return the content of a member with its header and what follows it."""
    if len(member) < HEADER or member[:4] != _MAGIC:
        return ImageError(ImageFault.DAMAGED, "its zip header is damaged")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack_from(member)
    start = HEADER + name_length + extra_length
    size, packed = with_zip64(member[HEADER + name_length : start], size, packed)
    if flags & _DESCRIPTOR_FLAG:
        described = _descriptor(member, start)
        if described is None:
            return ImageError(ImageFault.DAMAGED, "what follows it in the zip does not say its length")
        crc, packed, size = described
    data = member[start : start + packed]
    if len(data) < packed or size > _LARGEST:
        return ImageError(ImageFault.DAMAGED, f"its zip header says {packed} bytes that unpack to {size}")
    if method == DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        except zlib.error as error:
            return ImageError(ImageFault.DAMAGED, f"it does not unpack ({error})")
    if len(data) != size or zlib.crc32(data) != crc:
        return ImageError(
            ImageFault.DAMAGED, f"its {len(data)} bytes do not have the CRC-32 or length that the zip says"
        )
    return data


def _descriptor(member: bytes, start: int) -> tuple[int, int, int] | None:
    """Return CRC-32, packed and unpacked length from behind a member, None if they are not there."""
    for form in ("<4sLLL", "<4sLQQ", "<LLL", "<LQQ"):
        length = struct.calcsize(form)
        fields = struct.unpack(form, member[-length:]) if len(member) >= start + length else ()
        if form.startswith("<4s"):
            fields = fields[1:] if fields and fields[0] == b"PK\7\x08" else ()
        if fields and fields[1] == len(member) - start - length:
            return fields[0], fields[1], fields[2]
    return None
