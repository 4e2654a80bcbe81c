"""Dumps of several tars, whole or in pieces: the processed release by split, ImageNet-1K's train and val."""

import glob
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from in21k.prep.raw.class_labels import ClassLabels
from in21k.prep.raw.dump import RawClass, RawDump
from in21k.prep.raw.entries import Entry, entries_of, is_tar
from in21k.prep.raw.flat_tar import FlatTar
from in21k.prep.raw.folders import beside_reject
from in21k.prep.raw.ground_truth import find_ground_truth
from in21k.prep.raw.gzip_ranges import archive_index
from in21k.prep.raw.names import GIVEN_SPLITS, stored_path
from in21k.prep.raw.tars import TarDump
from in21k.prep.records import Reject
from in21k.shards_manifest.storage.location import Location

LAYOUT = "several-tars"

_PIECE = re.compile(
    r"(?P<stem>.+?\.(?:tar\.gz|tgz|tar))\.(?:[0-9]{1,6}|(?!gz|xz|bz)[a-z]{2}|part[-_]?[0-9a-z]+)(?:\..+)?"
)
"""A piece of a tar, such as `imagenet21k_train.tar.gz.00.tar.gz.part`, `whole.tar.aa` or `whole.tar.gz.part01`."""
_SPLIT_TARS = {**GIVEN_SPLITS, "ILSVRC2012_img_train": "train", "ILSVRC2012_img_val": "val"}
"""The tars, by the stem of their names, that hold one split each."""
_FLAT = "ILSVRC2012_img_val"


@dataclass(frozen=True)
class _Stream:
    """A tar, or the pieces of one."""

    name: str
    """Its file's name, or a pattern of the pieces' names."""
    stem: str
    """The name without its endings."""
    size: int


@dataclass(frozen=True)
class _Part:
    """A tar of a dump, as a dump of its own."""

    archive: str
    split: str
    dump: RawDump


class StreamsDump:
    """Several tars in a folder, or one in pieces."""

    is_mixed: Literal[False] = False
    layout = LAYOUT
    unit = "B"

    def __init__(self, parts: Sequence[_Part], rejects: Sequence[Reject]) -> None:
        self._parts = parts
        self._rejects = list(rejects)
        self.size = sum(part.dump.size for part in parts)

    def identity(self) -> dict[str, Any]:
        """Return the layout, the length, and a digest of what identifies each tar."""
        each = json.dumps([[part.archive, part.split, part.dump.identity()] for part in self._parts])
        digest = hashlib.sha256(each.encode()).hexdigest()
        return {"layout": self.layout, "tars": len(self._parts), "bytes": self.size, "identities_sha256": digest}

    def classes(self) -> Iterator[RawClass]:
        """Yield the classes of one tar after the other.

        Raises:
            PrepError: a tar is truncated or damaged.
        """
        if self._rejects:
            yield RawClass("", [], self._rejects, 0)
        before = 0
        for part in self._parts:
            for found in part.dump.classes():
                images = [
                    image._replace(archive=part.archive, given_split=part.split or image.given_split)
                    for image in found.images
                ]
                yield RawClass(found.wnid, images, found.rejects, before + min(found.end, part.dump.size))
            before += part.dump.size


def open_streams(
    folder: Location, work: Location, labels: ClassLabels, class_list: Sequence[str]
) -> StreamsDump | None:
    """Return the dump of the tars in a folder, None if they are neither pieces nor one per split.

    Raises:
        PrepError: a tar is truncated, or nothing says the classes of flat images.
    """
    entries = entries_of(folder, "")
    pieces: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.is_file and (found := _PIECE.fullmatch(entry.name)):
            pieces.setdefault(found["stem"], []).append(entry)
    streams = [_joined(stem, found, entries) for stem, found in pieces.items()]
    streams += [_Stream(e.name, e.name.partition(".")[0], e.size) for e in entries if is_tar(e) and _is_split(e)]
    if not streams or not (pieces or any(stream.stem in _SPLIT_TARS for stream in streams)):
        return None
    streams.sort(key=lambda stream: stream.name)
    splits = {_SPLIT_TARS.get(stream.stem, "") for stream in streams}
    parts = [_part(stream, folder, work, labels, class_list) for stream in streams]
    if not {"train", "val"} <= splits:
        parts = [_Part(part.archive, "", part.dump) for part in parts]
    used = {entry.name for found in pieces.values() for entry in found} | {stream.name for stream in streams}
    beside = [entry for entry in entries if entry.name not in used and not _is_devkit(entry)]
    return StreamsDump(parts, [beside_reject(entry) for entry in beside])


def _part(stream: _Stream, folder: Location, work: Location, labels: ClassLabels, class_list: Sequence[str]) -> _Part:
    archive = stored_path(stream.name)
    location = folder.child(stream.name)
    dump: RawDump
    if stream.stem == _FLAT:
        dump = FlatTar(location, find_ground_truth(folder, class_list))
    else:
        dump = TarDump(location, archive_index(work, archive), labels)
    return _Part(archive, _SPLIT_TARS.get(stream.stem, ""), dump)


def _joined(stem: str, pieces: list[Entry], entries: list[Entry]) -> _Stream:
    """Return the stream of a tar's pieces, under a pattern that names them and nothing else."""
    names = {piece.name for piece in pieces}
    escaped = glob.escape(stem)
    patterns = (f"{escaped}.*", f"{escaped}.*.part", f"{escaped}.[0-9]*", f"{escaped}.part*", f"{escaped}.[a-z][a-z]")
    pattern = next(
        (
            pattern
            for pattern in patterns
            if {entry.name for entry in entries if fnmatchcase(entry.name, pattern)} == names
        ),
        patterns[0],
    )
    return _Stream(pattern, stem.partition(".")[0], sum(piece.size for piece in pieces))


def _is_split(entry: Entry) -> bool:
    return entry.name.partition(".")[0] in _SPLIT_TARS


def _is_devkit(entry: Entry) -> bool:
    """Return whether an entry may be what says the classes of flat images."""
    return (
        "devkit" in entry.name or "ground_truth" in entry.name or entry.name.lower().endswith((".txt", ".csv", ".mat"))
    )
