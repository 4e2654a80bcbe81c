"""Which files of a dump are WebDataset shards, by their content."""

import json
from collections.abc import Sequence
from itertools import islice

from in21k.prep.errors import PrepError
from in21k.prep.raw.dump_files import DumpFile, files_by_pattern, files_in
from in21k.prep.raw.entries import Entry, is_tar
from in21k.prep.raw.folders import beside_reject
from in21k.prep.raw.members import FOLDER
from in21k.prep.raw.names import is_wnid, printable
from in21k.prep.raw.samples import LABEL_SUFFIXES, samples
from in21k.prep.raw.shards import ShardsDump
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader
from in21k.shards_manifest.tar import END, TarError, read_members

INFO = ("_info.json", "info.json")
"""The names of timm's file beside the shards that lists them."""

_LOOK = 8
"""Members of a tar that show whether it is a shard."""
_LONGEST_INFO = 16 << 20


def single_shard(raw: Location, class_list: Sequence[str]) -> ShardsDump | None:
    """Return the dump that is a single shard, None if the file is something else."""
    return ShardsDump(raw, [DumpFile("", raw.size() or 0)], class_list) if _is_shard(raw) else None


def shards_by_pattern(pattern: Location, class_list: Sequence[str]) -> ShardsDump | None:
    """Return the shards that a pattern names, None if it names the pieces of something.

    Raises:
        PrepError: it names nothing.
    """
    files = files_by_pattern(pattern)
    if not files or not _is_shard(files[0].within(pattern.parent), whole=len(files) > 1):
        return None
    return ShardsDump(pattern.parent, files, class_list)


def shards_in_folder(folder: Location, class_list: Sequence[str]) -> ShardsDump | None:
    """Return the shards in a folder or in the folders in it, None if its first tar is no shard.

    Raises:
        PrepError: shards are missing that a list beside them names.
    """
    found = files_in(folder, _may_be_shard)
    if not found.files or not _is_shard(folder.child(next(iter(found.files)))):
        return None
    for above, entry in found.others:
        if entry.name in INFO and entry.is_file:
            info = folder.child(f"{above}{entry.name}")
            _require_all_listed(info, {path.removeprefix(above) for path in found.files})
    rejects = [beside_reject(entry) for _, entry in found.others if entry.name not in INFO]
    return ShardsDump(folder, found.dump_files(), class_list, rejects)


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


def _require_all_listed(info: Location, names: set[str]) -> None:
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
    if lost := [name for name in listed if name not in names]:
        raise PrepError(
            f"{info.text} lists {len(listed)} shards, and {len(lost)} are not there, such as {printable(lost[0])}; "
            "download them, or give the shards that you want as a pattern ('…/*.tar')"
        )
