"""Dumps that are a single tar: of class tars (`fall11_whole.tar`, `winter21_whole.tar.gz`), or of class folders."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, Literal

from in21k.prep.errors import PrepError
from in21k.prep.raw.class_labels import WNIDS, ClassLabels
from in21k.prep.raw.dump import RawClass
from in21k.prep.raw.gzip_ranges import GzipRanges, open_tar
from in21k.prep.raw.members import (
    FOLDER,
    HARD_LINK,
    Found,
    HardLink,
    add_followed,
    followed,
    junk_reject,
    reject,
    sort_in,
)
from in21k.prep.raw.names import name_reject
from in21k.prep.raw.pieces import open_pieces
from in21k.prep.records import Reason
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader
from in21k.shards_manifest.tar import JUNK, TarError, TarMember, read_joined_members, read_members
from in21k.shards_manifest.tar_sparse import SPARSE

_EDGE = 1 << 20
"""Bytes at each end of the file that identify it where its outer headers do not."""


class TarDump:
    """A tar of class tars or of class folders, gzipped or not; its first file shows which."""

    is_mixed: Literal[False] = False
    unit = "B"

    def __init__(self, location: Location, index: Location, labels: ClassLabels = WNIDS) -> None:
        """Look at the first members; of a plain tar of class tars, read all outer headers.

        Raises:
            PrepError: it is not a tar of classes, or a plain one that is truncated.
        """
        self._location = location
        self._index = index
        self._labels = labels
        compressed = open_pieces(location)
        self.size = compressed.size
        self._edges = hashlib.sha256(compressed.read(0, _EDGE) + compressed.read(max(0, self.size - _EDGE), _EDGE))
        compressed.close()
        reader = open_tar(location, index)
        self._outer: list[TarMember] | None = None
        try:
            self._is_gzipped = isinstance(reader, GzipRanges)
            self._is_nested = self._first_file(reader).name.lower().endswith(".tar")
            if self._is_nested and not self._is_gzipped:
                self._outer = list(read_joined_members(reader.read, 0, reader.size))
        except TarError as error:
            raise self._damage_error(error) from error
        finally:
            reader.close()
        self.layout = ("gzipped-" if self._is_gzipped else "") + (
            "tar-of-class-tars" if self._is_nested else "tar-of-class-folders"
        )

    def identity(self) -> dict[str, Any]:
        """Return the layout, the length, and a digest of all outer headers, or else of the first and last MiB."""
        known = {"layout": self.layout, "bytes": self.size}
        if self._outer is None:
            return {**known, "edges_sha256": self._edges.hexdigest()}
        digest = hashlib.sha256()
        for member in self._outer:
            digest.update(f"{member.name}\0{member.offset}\0{member.size}\n".encode("utf-8", "surrogateescape"))
        return {**known, "headers_sha256": digest.hexdigest()}

    def classes(self) -> Iterator[RawClass]:
        """Yield the classes; a damaged class tar gives its readable images, and a reject for the damage."""
        reader = open_tar(self._location, self._index)
        try:
            yield from self._nested(reader) if self._is_nested else self._flat(reader)
            if isinstance(reader, GzipRanges):
                reader.save_index()
        except TarError as error:
            raise self._damage_error(error) from error
        finally:
            reader.close()

    def _nested(self, reader: RangeReader) -> Iterator[RawClass]:
        for outer in self._outer or read_joined_members(reader.read, 0, reader.size):
            at = self._position(reader, outer.end)
            if _is_class_tar(outer):
                wnid = self._labels.of_tar(outer.name)
                found = class_tar_images(reader, wnid, "", outer.offset, outer.offset + outer.size)
                yield RawClass(wnid, found.images, found.rejects, self._position(reader, outer.end))
            elif outer.type == JUNK:
                yield RawClass("", [], [junk_reject("", outer)], at)
            elif outer.type != FOLDER:
                detail = f"tar type {outer.type}, {outer.size} bytes"
                yield RawClass("", [], [reject("", outer.name, Reason.NOT_A_CLASS_TAR, detail)], at)

    def _flat(self, reader: RangeReader) -> Iterator[RawClass]:
        files = (m for m in read_joined_members(reader.read, 0, reader.size) if m.type != FOLDER)
        links: list[HardLink] = []
        for (split, wnid), members in groupby(files, key=self._split_and_class):
            found = Found(links=links)
            end = 0
            for member in members:
                sort_in(member, wnid, "", split, found)
                end = member.end
            yield of_class(wnid, found, self._position(reader, end))
        if links:
            for link, file in followed(read_joined_members(reader.read, 0, reader.size), links):
                found = Found()
                add_followed(link, file, "", found)
                yield of_class(link.wnid, found, self._position(reader, end))

    def _split_and_class(self, member: TarMember) -> tuple[str, str]:
        """Return a member's given split and its class, from the folders above it."""
        return self._labels.of_folder(member.name.rpartition("/")[0])

    def _position(self, reader: RangeReader, end: int) -> int:
        return reader.compressed_position() if isinstance(reader, GzipRanges) else end

    def _first_file(self, reader: RangeReader) -> TarMember:
        """Return the first class tar or image; where there is none, a hard link that names another file an image."""
        link = None
        for member in read_joined_members(reader.read, 0, max(reader.size, _EDGE << 42)):
            if _is_class_tar(member):
                return member
            if name_reject("", member.name, 0, True, "") is None:
                if member.is_file or member.type == SPARSE:
                    return member
                link = link or (member if member.type == HARD_LINK else None)
        if link is not None:
            return link
        raise PrepError(f"{self._location.text} holds neither class tars (such as n02084071.tar) nor images")

    def _damage_error(self, error: TarError) -> PrepError:
        """Return the error for a truncated tar, or for a file that never was one."""
        text = self._location.text
        reader = open_tar(self._location, self._index)
        try:
            next(read_members(reader.read, 0, max(reader.size, _EDGE << 42)), None)
        except TarError:
            return PrepError(f"{text} is not a tar ({error}); give the dump as it was downloaded")
        finally:
            reader.close()
        return PrepError(f"{text} is truncated or damaged after {self.size} bytes ({error}); download it again")


def class_tar_images(reader: RangeReader, wnid: str, archive: str, start: int, end: int) -> Found:
    """Return the images of the class tar in the bytes `start` to `end`, and the rejects.

    A damaged tar gives the images before the damage, and a reject for the damage.
    """
    found = Found()
    try:
        for member in read_joined_members(reader.read, start, end):
            if member.type != FOLDER:
                sort_in(member, wnid, archive, "", found)
    except TarError as error:
        found.rejects.append(reject(wnid, "", Reason.CORRUPT_TAR, str(error)))
    if found.links:
        with suppress(TarError):  # that the first pass has noted
            for link, file in followed(read_joined_members(reader.read, start, end), found.links):
                add_followed(link, file, archive, found)
    return found


def is_class_tar_name(name: str) -> bool:
    """Return whether a file is named as a class tar."""
    return name.lower().endswith(".tar") and not name.startswith("._")


def of_class(wnid: str, found: Found, end: int) -> RawClass:
    """Return what was found in a class folder; images beside the class folders are rejects.

    Args:
        wnid: the class; empty beside the class folders.
        found: the images, and what is none.
        end: how far this is, in the dump's unit.
    """
    if wnid:
        return RawClass(wnid, found.images, found.rejects, end)
    outside = [reject("", image.name, Reason.NOT_IN_A_CLASS, "beside the class folders") for image in found.images]
    return RawClass("", [], found.rejects + outside, end)


def _is_class_tar(member: TarMember) -> bool:
    return member.is_file and is_class_tar_name(PurePosixPath(member.name).name)
