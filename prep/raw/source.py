"""Where the bytes of a dump's images come from: ranges of its files, or whatever else a form of dump offers."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from in21k.prep.errors import PrepError
from in21k.prep.raw.gzip_ranges import GZIP_INDEX, open_archive_file, open_tar
from in21k.prep.raw.pieces import is_pattern
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader

_READ_SIZE = 8 << 20
_MAX_GAP = 64 << 10
"""Bytes between two images that are cheaper to read than to skip."""

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

    A dump that is a single file stays open; the files of a folder are opened for each run.
    """

    threads = 4
    """Several, to hide the latency of an object store, or of a file per image."""

    def __init__(self, raw: Location, work: Location) -> None:
        self._raw = raw
        self._work = work
        self._lock = threading.Lock()
        self._dump: RangeReader | None = None

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
        """Close the dump if it is a single file."""
        if self._dump is not None:
            self._dump.close()

    def _range(self, archive: str, start: int, size: int) -> bytes:
        if not archive:
            return self._opened_dump().read(start, size)
        reader = open_archive(self._raw, archive, self._work)
        try:
            return reader.read(start, size)
        finally:
            reader.close()

    def _opened_dump(self) -> RangeReader:
        with self._lock:
            if self._dump is None:
                self._dump = open_archive(self._raw, "", self._work)
            return self._dump


def open_archive(raw: Location, archive: str, work: Location) -> RangeReader:
    """Open a file that contains images: the dump `raw` itself, or the file `archive` in it or among its pieces.

    Raises:
        DatasetError: it does not exist.
    """
    if archive:
        return open_archive_file(raw.parent if is_pattern(raw) else raw, archive, work)
    return open_tar(raw, work / GZIP_INDEX)


def _belongs(row: Row, run: list[Row]) -> bool:
    last = run[-1]
    gap = row["offset"] - last["offset"] - last["size"]
    return row["archive"] == last["archive"] and 0 <= gap <= _MAX_GAP and _length([run[0], row]) <= _READ_SIZE


def _length(run: list[Row]) -> int:
    """Return the number of bytes from the start of a run's first image to the end of its last."""
    return int(run[-1]["offset"] + run[-1]["size"] - run[0]["offset"])
