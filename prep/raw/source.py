"""Where the bytes of a dump's images come from: ranges of its files, or whatever else a form of dump offers."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from in21k.prep.errors import PrepError
from in21k.prep.raw.gzip_ranges import GZIP_INDEX, open_archive_file, open_tar
from in21k.prep.raw.names import GZIPPED_TARS
from in21k.prep.raw.pieces import is_pattern
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader

_READ_SIZE = 8 << 20
_MAX_GAP = 64 << 10
"""Bytes between two images that are cheaper to read than to skip."""

_MOST_OPEN = 8
"""Files that stay open."""

Row = dict[str, Any]
"""Where an image is: at least its `name`, `archive`, `offset` and `size`, as in `images.parquet`."""

Content = bytes | ImageError
"""An image's bytes, or why the dump does not give them."""


@dataclass(frozen=True)
class Run:
    """Images that are read together."""

    rows: list[Row]
    bytes: int
    """About how much memory their reading takes."""


class ImageSource(Protocol):
    """The bytes of a dump's images, in any form of dump."""

    threads: int
    """How many threads may read at once; with one, the runs are read in order."""

    def runs(self, rows: Sequence[Row]) -> Iterator[Run]:
        """Yield images, sorted by archive and offset, in runs that are best read together."""
        ...

    def read(self, run: Run) -> list[Content]:
        """Return the content of each image of a run.

        Raises:
            DatasetError: the dump is gone, cannot be read, or ends before an image does.
        """
        ...

    def close(self) -> None:
        """Close the dump's files."""
        ...


def require_bytes(content: Content) -> bytes:
    """Return an image's bytes.

    Raises:
        ImageError: the dump does not give them.
    """
    if isinstance(content, ImageError):
        raise content
    return content


class RangeSource:
    """Images that are byte ranges of the dump's files, or of the content of those that are gzipped.

    A dump that is a single file stays open, and so do a few that take long to open; other files of a folder are opened
    for each run.
    """

    threads = 4
    """Several, to hide the latency of an object store, or of a file per image."""

    def __init__(self, raw: Location, work: Location) -> None:
        self._raw = raw
        self._work = work
        self._lock = threading.Lock()
        self._open: dict[str, RangeReader] = {}

    def runs(self, rows: Sequence[Row]) -> Iterator[Run]:
        """Yield the images in runs of neighbors, each of which one read covers."""
        run: list[Row] = []
        for row in rows:
            if run and not _belongs(row, run):
                yield Run(run, _length(run))
                run = []
            run.append(row)
        if run:
            yield Run(run, _length(run))

    def read(self, run: Run) -> list[Content]:
        """Return the bytes of each image.

        Raises:
            DatasetError: a file does not exist, or ends before an image does.
        """
        start = run.rows[0]["offset"]
        data = self._range(run.rows[0]["archive"], start, run.bytes)
        if len(data) < run.bytes:
            raise PrepError(
                f"{self._raw.text} ends at byte {start + len(data)}, before the end of {run.rows[-1]['name']}"
            )
        return [data[row["offset"] - start : row["offset"] - start + row["size"]] for row in run.rows]

    def close(self) -> None:
        """Close the files that are open."""
        for reader in self._open.values():
            reader.close()

    def _range(self, archive: str, start: int, size: int) -> bytes:
        reader = self._open.get(archive)
        if reader is not None:
            return reader.read(start, size)
        with self._lock if _is_costly(archive) else nullcontext():
            reader = self._open.get(archive) or open_archive(self._raw, archive, self._work)
            if _is_costly(archive) and len(self._open) < _MOST_OPEN:
                self._open[archive] = reader
        try:
            return reader.read(start, size)
        finally:
            if archive not in self._open:
                reader.close()


def open_archive(raw: Location, archive: str, work: Location) -> RangeReader:
    """Open a file that contains images: the dump `raw` itself, or the file `archive` in it or among its pieces.

    Raises:
        DatasetError: it does not exist.
    """
    if archive:
        return open_archive_file(raw.parent if is_pattern(raw) else raw, archive, work)
    return open_tar(raw, work / GZIP_INDEX)


def _is_costly(archive: str) -> bool:
    """Return whether a file takes long to open: the dump itself, one in pieces, one that is gzipped."""
    return not archive or archive.lower().endswith(GZIPPED_TARS) or any(letter in archive for letter in "*?[")


def _belongs(row: Row, run: list[Row]) -> bool:
    last = run[-1]
    gap = row["offset"] - last["offset"] - last["size"]
    return row["archive"] == last["archive"] and 0 <= gap <= _MAX_GAP and _length([run[0], row]) <= _READ_SIZE


def _length(run: list[Row]) -> int:
    """Return the number of bytes from the start of a run's first image to the end of its last."""
    return int(run[-1]["offset"] + run[-1]["size"] - run[0]["offset"])
