"""Which files of a dump are WebDataset shards, by their content, and which split each belongs to, by its name."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

from in21k.prep.errors import PrepError
from in21k.prep.raw.entries import Entry, entries_of
from in21k.prep.raw.folders import beside_reject, is_tar
from in21k.prep.raw.members import FOLDER
from in21k.prep.raw.names import is_wnid, path_of, printable, stored_path
from in21k.prep.raw.pieces import matching
from in21k.prep.raw.samples import LABEL_SUFFIXES, samples
from in21k.prep.raw.shards import ShardFile, ShardsDump
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader
from in21k.shards_manifest.tar import END, TarError, read_members

INFO = ("_info.json", "info.json")
"""The names of timm's file beside the shards that lists them."""

_LOOK = 8
"""Members of a tar that show whether it is a shard."""
_MOST_FOLDERS = 20
"""How many folders are searched for shards where none lies beside them."""
_LONGEST_INFO = 16 << 20
_SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}


def single_shard(raw: Location, class_list: Sequence[str]) -> ShardsDump | None:
    """Return the dump that is a single shard, None if the file is something else."""
    return ShardsDump(raw, [ShardFile("", raw.size() or 0)], class_list) if _is_shard(raw) else None


def shards_by_pattern(pattern: Location, class_list: Sequence[str]) -> ShardsDump | None:
    """Return the shards that a pattern names, None if it names the pieces of something.

    Raises:
        PrepError: it names nothing.
    """
    folder, names = pattern.parent, matching(pattern)
    if not _is_shard(folder.child(names[0]), whole=len(names) > 1):
        return None
    sizes = [(name, folder.child(name).size()) for name in names]
    files = [ShardFile(stored_path(name), size) for name, size in sizes if size is not None]
    return ShardsDump(folder, with_splits(files), class_list)


def shards_in_folder(folder: Location, class_list: Sequence[str]) -> ShardsDump | None:
    """Return the shards in a folder or in the folders in it, None if its first tar is no shard.

    Raises:
        PrepError: shards are missing that a list beside them names.
    """
    entries = [("", entry) for entry in entries_of(folder, "")]
    inner = [entry for _, entry in entries if entry.is_folder]
    if not any(_may_be_shard(entry) for _, entry in entries) and len(inner) <= _MOST_FOLDERS:
        entries = [each for each in entries if each[1] not in inner]
        entries += [(f"{outer.name}/", entry) for outer in inner for entry in entries_of(folder, outer.name)]
    paths = {f"{above}{entry.name}": entry for above, entry in entries if _may_be_shard(entry)}
    if not paths or not _is_shard(folder.child(next(iter(paths)))):
        return None
    for above, entry in entries:
        if entry.name in INFO and entry.is_file:
            _require_all_listed(folder.child(f"{above}{entry.name}"), [path.removeprefix(above) for path in paths])
    rejects = [beside_reject(entry) for _, entry in entries if not (_may_be_shard(entry) or entry.name in INFO)]
    files = [ShardFile(stored_path(path), entry.size) for path, entry in sorted(paths.items())]
    return ShardsDump(folder, with_splits(files), class_list, rejects)


def _may_be_shard(entry: Entry) -> bool:
    return is_tar(entry) and not is_wnid(entry.name.partition(".")[0])


def _is_shard(file: Location, *, whole: bool = False) -> bool:
    """Return whether a file is a shard of images: a tar where labels lie beside images under the same key.

    Args:
        file: the file.
        whole: whether it must also end as a tar does, as the first of several pieces does not.
    """
    reader = file.open_ranges()
    try:
        return _begins_as_shard(reader) and not (whole and reader.read(reader.size - len(END), len(END)) != END)
    finally:
        reader.close()


def _begins_as_shard(reader: RangeReader) -> bool:
    members = (member for member in read_members(reader.read, 0, reader.size) if member.type != FOLDER)
    try:
        first = list(islice(members, _LOOK))
    except TarError:
        return False
    return any(sample.images and LABEL_SUFFIXES & set(sample.others) for sample in samples(first, []))


def with_splits(files: Iterable[ShardFile]) -> list[ShardFile]:
    """Return shards with their splits, by the words in their paths; with none if all are of one split.

    Raises:
        PrepError: some are of a test split.
    """
    files = list(files)
    splits = [_split_of(path_of(file.archive)) for file in files]
    if {"train", "val"} <= set(splits):
        return [replace(file, split=split) for file, split in zip(files, splits, strict=True)]
    return files


def _require_all_listed(info: Location, names: Iterable[str]) -> None:
    """Refuse a folder that lacks shards which timm's file beside them lists.

    Raises:
        PrepError: it lacks some; the message names the first.
    """
    if (info.size() or 0) > _LONGEST_INFO:
        return
    try:
        splits = json.loads(info.read_bytes())["splits"].values()
        listed = [str(name) for split in splits for name in split["filenames"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # another file of that name
    here = set(names)
    if lost := [name for name in listed if name not in here]:
        raise PrepError(
            f"{info.text} lists {len(listed)} shards, and {len(lost)} are not there, such as {printable(lost[0])}; "
            "download them, or give the shards that you want as a pattern ('…/*.tar')"
        )


def _split_of(path: str) -> str:
    words = re.split(r"[^a-z]+", path.lower())
    return next((_SPLIT_WORDS[word] for word in reversed(words) if word in _SPLIT_WORDS), "")
