"""Raw dumps: what lies where in them, whatever their layout, recognised by content; nothing is unpacked or changed."""

import pyarrow.fs as pafs

from in21k.prep.errors import PrepError
from in21k.prep.raw.dump import RawDump
from in21k.prep.raw.folders import open_folder
from in21k.prep.raw.gzip_ranges import GZIP_INDEX, open_tar
from in21k.prep.raw.tars import TarDump
from in21k.shards_manifest.storage.location import Location, locate
from in21k.shards_manifest.storage.ranges import RangeReader


def open_raw(text: str, work: Location) -> RawDump:
    """Return the dump at a path or URI, its layout recognised by content.

    Args:
        text: a tar of class tars or of class folders, gzipped or not; a folder of class tars or of class folders; the
            official processed release, packed or not. All of them local or behind a URI that pyarrow.fs knows.
        work: the work folder, which keeps the index of a gzipped dump.

    Raises:
        PrepError: there is none, or it is of no known layout, or it is cut short.
    """
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
