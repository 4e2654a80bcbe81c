"""Opening a raw dump, whose layout is recognized by its content; nothing is unpacked or changed."""

import pyarrow.fs as pafs

from in21k.prep.errors import PrepError
from in21k.prep.raw.class_labels import WNIDS, ClassLabels
from in21k.prep.raw.dump import RawDump
from in21k.prep.raw.folders import open_folder
from in21k.prep.raw.gzip_ranges import GZIP_INDEX, open_archive_file, open_tar
from in21k.prep.raw.pieces import is_pattern
from in21k.prep.raw.tars import TarDump
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader


def open_raw(raw: Location, work: Location, labels: ClassLabels = WNIDS) -> RawDump:
    """Return the dump at a location.

    Args:
        raw: a tar of class tars or of class folders, gzipped or not; a folder of class tars or of class folders; the
            official processed release, as a tar or unpacked; a pattern that names the pieces of a tar. Each may
            be local or at a URI that pyarrow.fs supports.
        work: the work folder, which stores the index of a gzipped dump.
        labels: how its folders and tars name classes.

    Raises:
        PrepError: there is no dump, its layout is unknown, or it is truncated.
    """
    kind = raw.filesystem.get_file_info(raw.path).type
    if kind == pafs.FileType.NotFound and not is_pattern(raw):
        raise PrepError(f"{raw.text}: there is no such file or folder")
    if kind == pafs.FileType.Directory:
        return open_folder(raw, work, labels)
    return TarDump(raw, work / GZIP_INDEX, labels)


def open_archive(raw: Location, archive: str, work: Location) -> RangeReader:
    """Open a file that contains images: the dump `raw` itself, or the file `archive` within it.

    Raises:
        DatasetError: it does not exist.
    """
    if archive:
        return open_archive_file(raw, archive, work)
    return open_tar(raw, work / GZIP_INDEX)
