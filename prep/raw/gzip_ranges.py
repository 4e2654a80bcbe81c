"""A gzipped file read by offset, using rapidgzip's index of the points where decompression can start."""

import hashlib
import os
import threading
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.raw.names import TARS, path_of
from in21k.prep.raw.pieces import is_pattern, open_pieces, without_padding
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeFile, RangeReader

GZIP_INDEX = "raw.gzindex"
"""The file in a work folder that stores the index, which makes a gzipped dump seekable."""

ARCHIVE_INDICES = "gzindex"
"""The folder in a work folder with the indices of gzipped files within a dump."""

UNKNOWN_SIZE = 1 << 62
"""Stands for the decompressed size until there is an index, which knows it."""

_GZIP_MAGIC = b"\x1f\x8b"


class GzipRanges:
    """A RangeReader of a gzipped file's content: at any offset with an index, from front to back without one."""

    def __init__(self, location: Location, index: Location) -> None:
        """Open the file, with the index at `index` if it exists.

        Raises:
            PrepError: rapidgzip is not installed.
        """
        try:
            import rapidgzip
        except ImportError:
            raise PrepError(
                f"{location.text} is gzipped; reading it needs rapidgzip: pip install 'in21k[gzip]'"
            ) from None
        self._text = location.text
        self._index = index
        self._lock = threading.Lock()
        indexed = index.exists()
        source = _compressed(location)
        # Without an index one process decompresses the whole file on all cores; with one, each worker has a reader.
        self._file: Any = rapidgzip.open(source, parallelization=1 if indexed else len(os.sched_getaffinity(0)))
        if indexed:
            self._file.import_index(index.open_input())
        self.size = int(self._file.size()) if indexed else UNKNOWN_SIZE

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` decompressed bytes from `offset`, fewer only at the end.

        Raises:
            PrepError: the compressed data is damaged.
        """
        with self._lock:
            try:
                self._file.seek(offset)
                parts = []
                while size and (data := self._file.read(size)):
                    parts.append(data)
                    size -= len(data)
            except (ValueError, RuntimeError, OSError) as error:
                raise self._damage(error) from error
        return b"".join(parts)

    def compressed_position(self) -> int:
        """Return the number of compressed bytes read so far."""
        return int(self._file.tell_compressed()) // 8

    def save_index(self) -> None:
        """Save the index for other readers if it is not there yet; the file must have been read to its end.

        Raises:
            PrepError: the compressed data is damaged.
        """
        if self._index.exists():
            return
        self._index.parent.make_folder()
        with self._lock, self._index.write() as file:
            try:
                self._file.export_index(file)
            except (ValueError, RuntimeError) as error:
                raise self._damage(error) from error

    def _damage(self, error: Exception) -> PrepError:
        return PrepError(f"{self._text} is damaged ({one_line(error)}); download it again")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def _compressed(location: Location) -> Any:
    """Return a path where rapidgzip can open the file by itself, or else a Python file."""
    opened = open_pieces(location)
    reader = without_padding(opened)
    if reader is opened and location.is_local and not is_pattern(location):
        reader.close()
        return location.path
    return RangeFile(reader)


def open_tar(location: Location, index: Location) -> RangeReader:
    """Open a tar, gzipped or not; its content decides, not its name.

    Raises:
        PrepError: it is gzipped and rapidgzip is not installed.
    """
    reader = open_pieces(location)
    if reader.read(0, 2) != _GZIP_MAGIC:
        return reader
    reader.close()
    return GzipRanges(location, index)


def open_archive_file(dump: Location, archive: str, work: Location) -> RangeReader:
    """Open a file within a dump, by its stored path, which may be a pattern; a gzipped tar gives its content.

    Raises:
        DatasetError: it does not exist.
    """
    path = path_of(archive)
    location = dump.child(path)
    if not path.lower().endswith(TARS) and not is_pattern(location):
        return location.open_ranges()
    return open_tar(location, archive_index(work, archive))


def archive_index(work: Location, archive: str) -> Location:
    """Return where the index of a file within a dump is kept, if the file is gzipped."""
    name = hashlib.blake2b(archive.encode(), digest_size=16).hexdigest()
    return work / ARCHIVE_INDICES / f"{name}.{GZIP_INDEX}"
