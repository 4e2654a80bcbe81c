"""Opening a raw dump, whose layout is recognized by its content; nothing is unpacked or changed."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import pyarrow.fs as pafs

from in21k.prep.errors import PrepError
from in21k.prep.raw import parquet, zips
from in21k.prep.raw.class_labels import WNIDS, ClassLabels
from in21k.prep.raw.dump import MixedDump, RawDump
from in21k.prep.raw.folders import open_folder
from in21k.prep.raw.gzip_ranges import GZIP_INDEX
from in21k.prep.raw.parquet import parquet_by_pattern, parquet_in_folder, single_parquet
from in21k.prep.raw.parquet_source import ParquetSource
from in21k.prep.raw.pieces import is_pattern
from in21k.prep.raw.shard_files import shards_by_pattern, shards_in_folder, single_shard
from in21k.prep.raw.source import ImageSource, RangeSource
from in21k.prep.raw.streams import open_streams
from in21k.prep.raw.tars import TarDump
from in21k.prep.raw.zips import ZipSource, open_zip
from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.storage.location import Location

_Finder: TypeAlias = Callable[[Location, Sequence[str]], MixedDump | None]

_FILES: Sequence[_Finder] = (single_shard, single_parquet)
_FOLDERS: Sequence[_Finder] = (shards_in_folder, parquet_in_folder)
_PATTERNS: Sequence[_Finder] = (shards_by_pattern, parquet_by_pattern)
"""What recognizes mixed dumps of each form, where a file, a folder or a pattern is given."""

_SOURCES: Mapping[str, Callable[[Location, Location], ImageSource]] = {
    parquet.LAYOUT: lambda raw, _work: ParquetSource(raw),
    zips.LAYOUT: ZipSource,
}
"""By layout, where the bytes of a dump's images come from if they are no ranges of its files."""


def open_raw(
    raw: Location, work: Location, labels: ClassLabels = WNIDS, class_list: Sequence[str] = ()
) -> RawDump | MixedDump:
    """Return the dump at a location.

    Args:
        raw: a tar of class tars or of class folders, gzipped or not; a folder of class tars or of class folders; the
            official processed release, as a tar or unpacked; a pattern that names the pieces of a tar; WebDataset
            shards, in a folder or by a pattern. Each may be local or at a URI that pyarrow.fs supports.
        work: the work folder, which stores the index of a gzipped dump.
        labels: how its folders and tars name classes.
        class_list: the classes that numbers stand for, where the dump labels its images with numbers alone.

    Raises:
        PrepError: there is no dump, its layout is unknown, or it is truncated.
    """
    with errors_naming(raw.text):
        kind = raw.filesystem.get_file_info(raw.path).type
    is_there = kind != pafs.FileType.NotFound
    if not is_there and not is_pattern(raw):
        raise PrepError(f"{raw.text}: there is no such file or folder")
    is_folder = kind == pafs.FileType.Directory
    for find in _FOLDERS if is_folder else _FILES if is_there else _PATTERNS:
        found = find(raw, class_list)
        if found is not None:
            return found
    if is_folder:
        return open_streams(raw, work, labels, class_list) or open_folder(raw, work, labels)
    return open_zip(raw, labels) or TarDump(raw, work / GZIP_INDEX, labels)


def open_source(raw: Location, work: Location, layout: str) -> ImageSource:
    """Return the bytes of the images of a dump that has been listed.

    Args:
        raw: the dump.
        work: the work folder, which stores the index of a gzipped dump.
        layout: that of the dump, as its identity says.

    Raises:
        DatasetError: the dump is gone.
    """
    return _SOURCES.get(layout, RangeSource)(raw, work)
