"""Reading ahead of decoding: the dump's images in large sequential reads, the next under way while one is used."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.raw import open_archive
from in21k.shards_manifest.files import RangeReader

_READ_SIZE = 8 << 20
_WIDEST_GAP = 64 << 10
"""Bytes between two images that are cheaper read than skipped."""

Row = dict[str, Any]


def read_ahead(raw: str, rows: Sequence[Row]) -> Iterator[tuple[Row, bytes]]:
    """Yield images with their bytes, in the given order.

    Args:
        raw: path or URI of the dump.
        rows: with `archive`, `offset` and `size`, ordered by archive and offset.

    Raises:
        DatasetError: an archive is gone, or ends before an image does.
    """
    runs = list(_runs(rows))
    with _Archives(raw) as archives, ThreadPoolExecutor(1) as reader:
        upcoming: Future[bytes] | None = None
        for number, run in enumerate(runs):
            data = upcoming.result() if upcoming is not None else archives.read(run)
            upcoming = reader.submit(archives.read, runs[number + 1]) if number + 1 < len(runs) else None
            start = run[0]["offset"]
            for row in run:
                yield row, data[row["offset"] - start : row["offset"] - start + row["size"]]


def _runs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the rows in groups that one read covers."""
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
    return (
        row["archive"] == last["archive"]
        and 0 <= gap <= _WIDEST_GAP
        and bool(row["offset"] + row["size"] - run[0]["offset"] <= _READ_SIZE)
    )


class _Archives:
    """The archives of a dump, one open at a time."""

    def __init__(self, raw: str) -> None:
        self._raw = raw
        self._name: str | None = None
        self._reader: RangeReader | None = None

    def __enter__(self) -> "_Archives":
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.close()

    def read(self, run: list[Row]) -> bytes:
        name, start = run[0]["archive"], run[0]["offset"]
        if self._reader is None or name != self._name:
            if self._reader is not None:
                self._reader.close()
            self._name, self._reader = name, open_archive(self._raw, name)
        size = run[-1]["offset"] + run[-1]["size"] - start
        data = self._reader.read(start, size)
        if len(data) < size:
            raise PrepError(f"{self._raw} ends at byte {start + len(data)}, before the end of {run[-1]['name']}")
        return data
