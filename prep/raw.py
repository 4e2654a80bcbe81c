"""Raw dumps: what lies where in them, whatever their layout, recognised by content; nothing is unpacked or changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow.fs as pafs

from in21k.prep.errors import PrepError
from in21k.prep.records import RawImage, Reject
from in21k.shards_manifest.files import Location, locate
from in21k.shards_manifest.ranges import RangeReader

GZIP_INDEX = "raw.gzindex"
"""Where a work folder keeps the index that makes a gzipped dump seekable."""

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class RawClass:
    """What a dump holds of one class in one place; a class may come more than once."""

    wnid: str
    images: list[RawImage]
    rejects: list[Reject]
    end: int
    """Bytes of the dump gone through by now; for folders, class folders."""


class RawDump(Protocol):
    """A raw dump of any layout."""

    layout: str
    size: int
    """Its length in bytes; for folders, the number of class folders."""
    unit: str
    """What `size` and `RawClass.end` count."""

    def identity(self) -> dict[str, Any]:
        """Return what tells this dump from another one: layout, length, digest of what is cheap to read."""
        ...

    def classes(self) -> Iterator[RawClass]:
        """Yield its classes in the order in which they lie in it.

        Raises:
            PrepError: it is cut short or damaged between classes.
        """
        ...


def open_raw(text: str, work: Location) -> RawDump:
    """Return the dump at a path or URI, its layout recognised by content.

    Args:
        text: a tar of class tars or of class folders, gzipped or not; a folder of class tars or of class folders; the
            official processed release, packed or not. All of them local or behind a URI that pyarrow.fs knows.
        work: the work folder, which keeps the index of a gzipped dump.

    Raises:
        PrepError: there is none, or it is of no known layout, or it is cut short.
    """
    from in21k.prep.raw_folders import open_folder
    from in21k.prep.raw_tars import TarDump

    location = locate(text)
    kind = location.filesystem.get_file_info(location.path).type
    if kind == pafs.FileType.NotFound:
        raise PrepError(f"{text}: there is no such file or folder")
    if kind == pafs.FileType.Directory:
        return open_folder(location)
    return TarDump(location, work / GZIP_INDEX)


def open_archive(text: str, archive: str, work: Location) -> RangeReader:
    """Open a file that holds images: the dump at `text` itself, or one that lies in it.

    Raises:
        DatasetError: it is gone.
    """
    dump = locate(text)
    if archive:
        return dump.child(archive).open_ranges()
    return open_tar(dump, work / GZIP_INDEX)


def open_tar(location: Location, index: Location) -> RangeReader:
    """Open a tar, or what is in it where it is gzipped, whatever its name says.

    Raises:
        PrepError: it is gzipped and rapidgzip is not installed.
    """
    reader = location.open_ranges()
    if reader.read(0, 2) != _GZIP_MAGIC:
        return reader
    reader.close()
    from in21k.prep.gzip_ranges import GzipRanges

    return GzipRanges(location, index)
