"""The entries of a folder of a dump: local ones under any bytes as a name, links with what they lead to."""

import os
import stat
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pafs

from in21k.prep.raw.names import TARS
from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.storage.location import Location


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or other thing in a folder."""

    name: str
    """Undecodable bytes are surrogate escapes."""
    size: int
    is_file: bool
    """Whether it is a regular file, or a link to one."""
    is_folder: bool
    """Whether it is a folder, or a link to one."""
    link: str = ""
    """What a symbolic link leads to."""


def entries_of(location: Location, folder: str) -> list[Entry]:
    """Return the entries of a folder in byte order of names.

    Args:
        location: the dump.
        folder: the folder's path in it; empty for the dump itself.

    Raises:
        DatasetError: the folder cannot be read.
    """
    place = location.child(folder) if folder else location
    if place.is_local:
        with errors_naming(place.text), os.scandir(place.path) as found:
            entries = [_local(entry) for entry in found]
    else:
        entries = [_stored(info) for info in place.filesystem.get_file_info(pafs.FileSelector(place.path))]
    return sorted(entries, key=lambda entry: entry.name.encode("utf-8", "surrogateescape"))


def _local(entry: os.DirEntry[str]) -> Entry:
    link = os.readlink(entry.path) if entry.is_symlink() else ""  # noqa: PTH115
    try:
        found = entry.stat()
    except OSError:  # a link that leads nowhere, or in a circle
        return Entry(entry.name, size=0, is_file=False, is_folder=False, link=link)
    is_folder = stat.S_ISDIR(found.st_mode)
    return Entry(
        entry.name,
        size=0 if is_folder else found.st_size,
        is_file=stat.S_ISREG(found.st_mode),
        is_folder=is_folder,
        link=link,
    )


def _stored(info: Any) -> Entry:
    is_file = info.type == pafs.FileType.File
    return Entry(info.base_name, int(info.size or 0), is_file, info.type == pafs.FileType.Directory)


def is_tar(entry: Entry) -> bool:
    """Return whether an entry is a file that is named as a tar, gzipped or not."""
    return entry.is_file and entry.name.lower().endswith(TARS) and not entry.name.startswith("._")
