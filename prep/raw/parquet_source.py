"""The images in Parquet files, read once from front to back, a few rows at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from in21k.prep.raw.dump_files import DumpFile
from in21k.prep.raw.parquet_columns import image_columns, open_parquet
from in21k.prep.raw.pieces import is_pattern
from in21k.prep.raw.source import Content, Row, Run
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.shards_manifest.storage.location import Location

_ROWS_AT_ONCE = 16
_RUN_BYTES = 2 << 20
"""What a run of rows takes, about; the file does not say."""


class ParquetSource:
    """Images that are rows of Parquet files; their offset is the number of the row."""

    threads = 1

    def __init__(self, raw: Location) -> None:
        self._folder = raw.parent if is_pattern(raw) else raw
        self._archive = ""
        self._rows: _Rows | None = None

    def runs(self, rows: Sequence[Row]) -> Iterator[Run]:
        """Yield the images in runs of a few."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            yield Run(list(rows[start : start + _ROWS_AT_ONCE]), _RUN_BYTES)

    def read(self, run: Run) -> list[Content]:
        """Return the bytes of each image, or that they cannot be read.

        Raises:
            DatasetError: a file does not exist, or is no Parquet file of images.
        """
        return [self._opened(row["archive"]).read(row["offset"]) for row in run.rows]

    def close(self) -> None:
        """Close the file that is open."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def _opened(self, archive: str) -> "_Rows":
        if self._rows is None or self._archive != archive:
            self.close()
            self._rows, self._archive = _Rows(DumpFile(archive, 0).within(self._folder)), archive
        return self._rows


class _Rows:
    """The images of one file by row; those of a row group are read in their order."""

    def __init__(self, location: Location) -> None:
        self._file = open_parquet(location)
        self._column = image_columns(self._file, location.text).image
        metadata = self._file.metadata
        self._starts = [0]
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)
        self._group = -1
        self._batches: Iterator[Any] = iter(())
        self._held: list[Content] = []
        self._first = 0
        self._broken: ImageError | None = None

    def read(self, row: int) -> Content:
        """Return the bytes of a row, or why there are none."""
        group = next((at for at, stop in enumerate(self._starts[1:]) if row < stop), -1)
        if group < 0:
            return ImageError(ImageFault.TRUNCATED, f"the file has no row {row}")
        if group != self._group or row < self._first:
            self._begin(group)
        while row >= self._first + len(self._held) and self._broken is None:
            self._advance()
        at = row - self._first
        return self._held[at] if at < len(self._held) else self._broken or _missing(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close(force=True)

    def _begin(self, group: int) -> None:
        self._group, self._first, self._held, self._broken = group, self._starts[group], [], None
        self._batches = self._file.iter_batches(
            _ROWS_AT_ONCE, row_groups=[group], columns=[self._column], use_threads=False
        )

    def _advance(self) -> None:
        self._first += len(self._held)
        self._held = []
        try:
            batch = next(self._batches, None)
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            self._broken = ImageError(ImageFault.DAMAGED, f"its row group cannot be read ({one_line(error)})")
            return
        if batch is None:
            self._broken = _missing(self._first)
            return
        column = batch.column(0)
        values = column.field(0) if pa.types.is_struct(column.type) else column
        self._held = [_content(value.as_py()) for value in values]


def _content(value: bytes | None) -> Content:
    return ImageError(ImageFault.EMPTY, "the row has no bytes") if value is None else value


def _missing(row: int) -> ImageError:
    return ImageError(ImageFault.TRUNCATED, f"its row group ends before row {row}")
