"""The files of a dump of several mixed ones: found in a folder, told apart by split, identified."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from in21k.prep.raw.dump import RawBatch
from in21k.prep.raw.entries import Entry, entries_of
from in21k.prep.raw.names import path_of, stored_path
from in21k.prep.raw.pieces import matching
from in21k.prep.records import Reject
from in21k.shards_manifest.storage.location import Location

_EDGE = 1 << 20
"""Bytes at each end of a file that identify it if it is the only one."""
_MOST_FOLDERS = 20
"""How many folders are searched for files where none lies beside them."""
_SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}


@dataclass(frozen=True)
class DumpFile:
    """A file of a dump."""

    archive: str
    """Its path in the dump, as tables store it; empty if the dump is a single file."""
    size: int
    split: str = ""
    """`train` or `val` if its name says so, and other files are of the other split."""

    def within(self, location: Location) -> Location:
        """Return where it is, in a dump at a location."""
        return location.child(path_of(self.archive)) if self.archive else location


@dataclass(frozen=True)
class FoundFiles:
    """The files of a kind in a folder, and the rest."""

    files: dict[str, Entry]
    """By path in the folder, in byte order."""
    others: list[tuple[str, Entry]]
    """What lies beside them: the folder that holds it, with a slash, and what it is."""

    def dump_files(self) -> list[DumpFile]:
        """Return the files with their splits."""
        return with_splits(DumpFile(stored_path(path), entry.size) for path, entry in self.files.items())


class FilesDump(ABC):
    """A dump of several files, or of a single one, in which the images of all classes lie mixed."""

    is_mixed: Literal[True] = True
    unit = "B"
    layout: str

    def __init__(
        self, location: Location, files: Sequence[DumpFile], class_list: Sequence[str], rejects: Sequence[Reject] = ()
    ) -> None:
        """Keep what is known.

        Args:
            location: the folder that holds the files, or the only file.
            files: the files.
            class_list: the classes that numbers stand for; if empty, those that the files name, if any.
            rejects: what lies beside them.
        """
        self._location = location
        self._files = files
        self._class_list = class_list
        self._rejects = list(rejects)
        self.size = sum(file.size for file in files)

    def identity(self) -> dict[str, Any]:
        """Return the layout, the number and length of the files, and a digest."""
        return files_identity(self._location, self._files, self.layout)

    def batches(self) -> Iterator[RawBatch]:
        """Yield the images of each file, some at once.

        Raises:
            PrepError: a file is truncated or damaged, has no images or labels, or its labels are numbers without names.
        """
        if self._rejects:
            yield RawBatch([], [], self._rejects, 0)
        before = 0
        for file in self._files:
            yield from self._of_file(file, before)
            before += file.size

    @abstractmethod
    def _of_file(self, file: DumpFile, before: int) -> Iterator[RawBatch]:
        """Yield the images of a file, which comes behind so many bytes of others."""


def files_in(folder: Location, is_one: Callable[[Entry], bool]) -> FoundFiles:
    """Return the files of a kind in a folder; if it holds none, those in the folders in it."""
    entries = [("", entry) for entry in entries_of(folder, "")]
    inner = [entry for _, entry in entries if entry.is_folder]
    if not any(is_one(entry) for _, entry in entries) and len(inner) <= _MOST_FOLDERS:
        entries = [each for each in entries if each[1] not in inner]
        entries += [(f"{outer.name}/", entry) for outer in inner for entry in entries_of(folder, outer.name)]
    found = {f"{above}{entry.name}": entry for above, entry in entries if is_one(entry)}
    return FoundFiles(dict(sorted(found.items())), [each for each in entries if not is_one(each[1])])


def files_by_pattern(pattern: Location) -> list[DumpFile]:
    """Return the files that a pattern names, with their splits.

    Raises:
        PrepError: there are none.
    """
    sizes = [(name, pattern.parent.child(name).size()) for name in matching(pattern)]
    return with_splits(DumpFile(stored_path(name), size) for name, size in sizes if size is not None)


def with_splits(files: Iterable[DumpFile]) -> list[DumpFile]:
    """Return files with their splits, by the words in their paths; with none if all are of one split."""
    files = list(files)
    splits = [_split_of(path_of(file.archive)) for file in files]
    if not {"train", "val"} <= set(splits):
        return files
    return [replace(file, split=split) for file, split in zip(files, splits, strict=True)]


def files_identity(location: Location, files: Sequence[DumpFile], layout: str) -> dict[str, Any]:
    """Return what distinguishes a dump: its layout, the number and length of its files, and a digest.

    The digest is of their names and lengths; where the dump is a single file, of its first and last MiB.
    """
    known = {"layout": layout, "files": len(files), "bytes": sum(file.size for file in files)}
    if any(file.archive for file in files):
        names = "".join(f"{file.archive}\0{file.size}\n" for file in files)
        return {**known, "names_sha256": hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()}
    reader = location.open_ranges()
    try:
        edges = reader.read(0, _EDGE) + reader.read(max(0, reader.size - _EDGE), _EDGE)
    finally:
        reader.close()
    return {**known, "edges_sha256": hashlib.sha256(edges).hexdigest()}


def _split_of(path: str) -> str:
    words = re.split(r"[^a-z]+", path.lower())
    return next((_SPLIT_WORDS[word] for word in reversed(words) if word in _SPLIT_WORDS), "")
