"""Dumps that are a single tar: of class tars (`fall11_whole.tar`, `winter21_whole.tar.gz`), or of class folders."""

import hashlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.raw.dump import RawClass
from in21k.prep.raw.gzip_ranges import GzipRanges, open_tar
from in21k.prep.raw.names import GIVEN_SPLITS, base_name, name_reject, printable
from in21k.prep.records import RawImage, Reason, Reject
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader
from in21k.shards_manifest.tar import TarError, TarMember, read_members

_FOLDER = "5"
_EDGE = 1 << 20
"""Bytes at each end of the file that identify it where its outer headers do not."""


class TarDump:
    """A tar of class tars or of class folders, gzipped or not; its first file shows which."""

    unit = "B"

    def __init__(self, location: Location, index: Location) -> None:
        """Look at the first members; of a plain tar of class tars, read all outer headers.

        Raises:
            PrepError: it is not a tar of classes, or a plain one that is truncated.
        """
        self._location = location
        self._index = index
        compressed = location.open_ranges()
        self.size = compressed.size
        self._edges = hashlib.sha256(compressed.read(0, _EDGE) + compressed.read(max(0, self.size - _EDGE), _EDGE))
        compressed.close()
        reader = open_tar(location, index)
        self._outer: list[TarMember] | None = None
        try:
            self._is_gzipped = isinstance(reader, GzipRanges)
            self._is_nested = self._first_file(reader).name.endswith(".tar")
            if self._is_nested and not self._is_gzipped:
                self._outer = list(read_members(reader.read, 0, reader.size))
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
        for outer in self._outer or read_members(reader.read, 0, reader.size):
            if _is_class_tar(outer):
                wnid = printable(PurePosixPath(outer.name).stem)
                images, rejects = class_tar_images(reader, wnid, "", outer.offset, outer.offset + outer.size)
                yield RawClass(wnid, images, rejects, self._position(reader, outer.end))
            elif outer.type != _FOLDER:
                detail = f"tar type {outer.type}, {outer.size} bytes"
                reject = _reject("", printable(outer.name), Reason.NOT_A_CLASS_TAR, detail)
                yield RawClass("", [], [reject], self._position(reader, outer.end))

    def _flat(self, reader: RangeReader) -> Iterator[RawClass]:
        files = (m for m in read_members(reader.read, 0, reader.size) if m.type != _FOLDER)
        for (split, wnid), members in groupby(files, key=lambda member: _folders(member.name)):
            images: list[RawImage] = []
            rejects: list[Reject] = []
            end = 0
            for member in members:
                _sort_in(member, wnid, "", split, images, rejects)
                end = member.end
            if not wnid:
                outside = [
                    _reject("", image.name, Reason.NOT_IN_A_CLASS, "beside the class folders") for image in images
                ]
                images, rejects = [], rejects + outside
            yield RawClass(wnid, images, rejects, self._position(reader, end))

    def _position(self, reader: RangeReader, end: int) -> int:
        return reader.compressed_position() if isinstance(reader, GzipRanges) else end

    def _first_file(self, reader: RangeReader) -> TarMember:
        for member in read_members(reader.read, 0, max(reader.size, _EDGE << 42)):
            if _is_class_tar(member) or (member.is_file and name_reject("", member.name, 0, True, "") is None):
                return member
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


def class_tar_images(
    reader: RangeReader, wnid: str, archive: str, start: int, end: int
) -> tuple[list[RawImage], list[Reject]]:
    """Return the images of the class tar in the bytes `start` to `end`, and the rejects.

    A damaged tar gives the images before the damage, and a reject for the damage.
    """
    images: list[RawImage] = []
    rejects: list[Reject] = []
    try:
        for member in read_members(reader.read, start, end):
            if member.type != _FOLDER:
                _sort_in(member, wnid, archive, "", images, rejects)
    except TarError as error:
        rejects.append(_reject(wnid, "", Reason.CORRUPT_TAR, str(error)))
    return images, rejects


def _sort_in(
    member: TarMember, wnid: str, archive: str, split: str, images: list[RawImage], rejects: list[Reject]
) -> None:
    refused = name_reject(wnid, member.name, member.size, member.is_file, f"tar type {member.type}")
    if refused is None:
        images.append(
            RawImage(
                name=base_name(member.name),
                archive=archive,
                offset=member.offset,
                size=member.size,
                given_split=split,
            )
        )
    else:
        rejects.append(refused)


def _reject(wnid: str, name: str, reason: Reason, detail: str) -> Reject:
    return Reject(wnid=wnid, name=name, stage="filter", reason=reason, detail=detail)


def _folders(name: str) -> tuple[str, str]:
    """Return a member's given split and its class, from the folders above it."""
    parts = PurePosixPath(name).parts
    split = GIVEN_SPLITS.get(parts[-3], "") if len(parts) > 2 else ""
    return split, printable(parts[-2]) if len(parts) > 1 else ""


def _is_class_tar(member: TarMember) -> bool:
    name = PurePosixPath(member.name)
    return member.is_file and name.suffix == ".tar" and not name.name.startswith("._")
