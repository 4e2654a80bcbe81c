"""Reads a dump's images in large ranges, ahead of the decoder that uses them."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.raw.open import open_archive
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader

_READ_SIZE = 8 << 20
_MAX_GAP = 64 << 10
"""Bytes between two images that are cheaper to read than to skip."""
_BYTES_AHEAD = 16 << 20
_READS_AHEAD = 16
_THREADS = 4
"""Several, to hide the latency of an object store, or of a file per image."""

Row = dict[str, Any]


def read_ahead(raw: Location, work: Location, rows: Sequence[Row]) -> Iterator[tuple[Row, bytes]]:
    """Yield (row, bytes) for each image, in the given order.

    Args:
        raw: the dump.
        work: the work folder, which stores the index of a gzipped dump.
        rows: the images' `archive`, `offset` and `size`, sorted by archive and offset.

    Raises:
        DatasetError: an archive does not exist, or ends before an image does.
    """
    with _Archives(raw, work) as archives, ThreadPoolExecutor(_THREADS) as readers:
        pending: deque[tuple[list[Row], Future[bytes]]] = deque()
        ahead = 0
        for run in _runs(rows):
            while pending and (ahead + _length(run) > _BYTES_AHEAD or len(pending) >= _READS_AHEAD):
                ahead -= _length(pending[0][0])
                yield from _images(*pending.popleft())
            pending.append((run, readers.submit(archives.read, run)))
            ahead += _length(run)
        while pending:
            yield from _images(*pending.popleft())


def _images(run: list[Row], read: Future[bytes]) -> Iterator[tuple[Row, bytes]]:
    data, start = read.result(), run[0]["offset"]
    for row in run:
        yield row, data[row["offset"] - start : row["offset"] - start + row["size"]]


def _runs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the rows in runs that one read covers."""
    run: list[Row] = []
    for row in rows:
        if run and not _belongs(row, run):
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _belongs(row: Row, run: list[Row]) -> bool:
    last = run[-1]
    gap = row["offset"] - last["offset"] - last["size"]
    return row["archive"] == last["archive"] and 0 <= gap <= _MAX_GAP and _length([run[0], row]) <= _READ_SIZE


def _length(run: list[Row]) -> int:
    """Return the number of bytes from the start of a run's first image to the end of its last."""
    return int(run[-1]["offset"] + run[-1]["size"] - run[0]["offset"])


class _Archives:
    """The open archives of a dump: a single file stays open, those in a folder are opened for each read."""

    def __init__(self, raw: Location, work: Location) -> None:
        self._raw = raw
        self._work = work
        self._lock = threading.Lock()
        self._dump: RangeReader | None = None

    def __enter__(self) -> "_Archives":
        return self

    def __exit__(self, *_: object) -> None:
        if self._dump is not None:
            self._dump.close()

    def read(self, run: list[Row]) -> bytes:
        start, size = run[0]["offset"], _length(run)
        if not run[0]["archive"]:
            data = self._opened_dump().read(start, size)
        else:
            reader = open_archive(self._raw, run[0]["archive"], self._work)
            try:
                data = reader.read(start, size)
            finally:
                reader.close()
        if len(data) < size:
            raise PrepError(f"{self._raw.text} ends at byte {start + len(data)}, before the end of {run[-1]['name']}")
        return data

    def _opened_dump(self) -> RangeReader:
        with self._lock:
            if self._dump is None:
                self._dump = open_archive(self._raw, "", self._work)
            return self._dump
