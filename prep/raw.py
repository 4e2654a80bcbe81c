"""Raw dumps: what lies where in them, found by hopping over headers, nothing unpacked."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

import pyarrow.fs as pafs

from in21k.prep.errors import PrepError
from in21k.prep.records import RawImage, Reason, Reject
from in21k.shards_manifest.files import Location, RangeReader, locate
from in21k.shards_manifest.tar import TarError, TarMember, read_members


@dataclass(frozen=True)
class RawClass:
    """What a dump holds of one class; a class may come more than once."""

    wnid: str
    images: list[RawImage]
    rejects: list[Reject]
    end: int
    """Bytes of the dump gone through by now."""


class RawDump(Protocol):
    """A raw dump of any layout."""

    layout: str
    size: int
    """Its length in bytes."""

    def identity(self) -> dict[str, Any]:
        """Return what tells this dump from another one: layout, length, digest of its table of contents."""
        ...

    def classes(self) -> Iterator[RawClass]:
        """Yield its classes in the order in which they lie in it."""
        ...

    def rejects(self) -> list[Reject]:
        """Return what lies beside the classes and belongs to none."""
        ...


def open_raw(text: str) -> RawDump:
    """Return the dump at a path or URI, its layout recognised by content.

    Raises:
        PrepError: there is none, or it is of no known layout, or it is cut short.
    """
    location = locate(text)
    kind = location.filesystem.get_file_info(location.path).type
    if kind == pafs.FileType.NotFound:
        raise PrepError(f"{text}: there is no such file")
    if kind != pafs.FileType.File:
        raise PrepError(f"{text} is a folder; give the tar of class tars as it was downloaded")
    return TarOfTars(location)


def open_archive(text: str, archive: str) -> RangeReader:
    """Open a file that holds images: the dump at `text` itself, or one that lies in it.

    Raises:
        DatasetError: it is gone.
    """
    dump = locate(text)
    return (dump.child(archive) if archive else dump).open_ranges()


class TarOfTars:
    """A tar of class tars: `fall11_whole.tar`, `ILSVRC2012_img_train.tar`."""

    layout = "tar-of-class-tars"

    def __init__(self, location: Location) -> None:
        """Read the outer headers.

        Raises:
            PrepError: it is no tar, holds no class tar, or is cut short.
        """
        self._location = location
        reader = location.open_ranges()
        try:
            self.size = reader.size
            self._members = list(read_members(reader.read, 0, reader.size))
        except TarError as error:
            raise PrepError(_not_a_dump(location.text, reader, error)) from error
        finally:
            reader.close()
        if not any(map(_is_class_tar, self._members)):
            raise PrepError(f"{location.text} holds no class tar (such as n02084071.tar); give a tar of class tars")

    def identity(self) -> dict[str, Any]:
        """Return layout, length and the digest of the outer members' names, places and lengths."""
        digest = hashlib.sha256()
        for member in self._members:
            digest.update(f"{member.name}\0{member.offset}\0{member.size}\n".encode("utf-8", "surrogateescape"))
        return {"layout": self.layout, "bytes": self.size, "headers_sha256": digest.hexdigest()}

    def rejects(self) -> list[Reject]:
        """Return the outer members that are no class tars."""
        return [
            Reject(
                "",
                _printable(member.name),
                "filter",
                Reason.NOT_A_CLASS_TAR,
                f"type {member.type}, {member.size} bytes",
            )
            for member in self._members
            if not _is_class_tar(member) and member.type != "5"
        ]

    def classes(self) -> Iterator[RawClass]:
        """Yield a class a class tar; of a damaged one the readable images stay and the damage is a reject."""
        reader = self._location.open_ranges()
        try:
            for outer in filter(_is_class_tar, self._members):
                wnid = PurePosixPath(outer.name).stem
                images: list[RawImage] = []
                rejects: list[Reject] = []
                try:
                    for member in read_members(reader.read, outer.offset, outer.offset + outer.size):
                        refused = _refuse(wnid, member)
                        if refused is not None:
                            rejects.append(refused)
                        elif member.is_file:
                            images.append(
                                RawImage(_printable(member.name.rpartition("/")[2]), "", member.offset, member.size)
                            )
                except TarError as error:
                    rejects.append(Reject(wnid, "", "filter", Reason.CORRUPT_TAR, str(error)))
                yield RawClass(wnid, images, rejects, outer.end)
        finally:
            reader.close()


def _refuse(wnid: str, member: TarMember) -> Reject | None:
    """Return why a member of a class tar is no image; folders and files that may be images give None."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        reason, detail = Reason.UNSAFE_NAME, "the name leads out of the folder"
    elif path.name.startswith("._"):
        reason, detail = Reason.MACOS_METADATA, f"{member.size} bytes"
    elif not member.is_file and member.type != "5":
        reason, detail = Reason.NOT_A_FILE, f"tar type {member.type}"
    else:
        return None
    return Reject(wnid, _printable(member.name), "filter", reason, detail)


def _is_class_tar(member: TarMember) -> bool:
    name = PurePosixPath(member.name)
    return member.is_file and name.suffix == ".tar" and not name.name.startswith("._")


def _not_a_dump(text: str, reader: RangeReader, error: TarError) -> str:
    """Tell a tar that was cut short from what was never one."""
    try:
        next(read_members(reader.read, 0, max(reader.size, 1 << 62)), None)
    except TarError:
        return f"{text} is no tar ({error}); give the tar of class tars as it was downloaded"
    return f"{text} is cut short or damaged after {reader.size} bytes ({error}); download it again"


def _printable(name: str) -> str:
    """Return a member's name as valid Unicode, still telling undecodable names apart."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
