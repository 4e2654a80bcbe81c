"""The rows of `images.parquet` and `split.parquet`, read by row groups and checked before they are used."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.records import SPARE
from in21k.prep.tables import plain
from in21k.shards_manifest.errors import DamagedTableError
from in21k.shards_manifest.manifest import SPLITS
from in21k.shards_manifest.parquet_table import RowGroups, open_row_groups
from in21k.shards_manifest.sample_table import require_plain_keys
from in21k.shards_manifest.storage.location import Location

_COUNTS = ("class_index", "rank", "offset", "size")
"""Columns that hold no negative number."""
_SPLITS = {"split": {*SPLITS, SPARE}, "given_split": {*SPLITS, ""}}


class ImageRows:
    """An open table with a row per image."""

    def __init__(self, groups: RowGroups, text: str) -> None:
        """Take an open table; `text` is what messages call it."""
        self._groups, self._text = groups, text

    @property
    def count(self) -> int:
        """The number of rows."""
        return self._groups.rows

    def __len__(self) -> int:
        """Return the number of row groups."""
        return len(self._groups)

    def read(self, *groups: int, names: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of some row groups, without dictionary encoding.

        Args:
            groups: their numbers.
            names: the columns; by default all.

        Raises:
            DamagedTableError: they cannot be read, or have a value that no image has.
        """
        table = plain(self._groups.read(groups, names))
        for name in {*_COUNTS}.intersection(table.column_names):
            if (least := pc.min(table[name]).as_py()) is not None and least < 0:
                raise DamagedTableError(f"{self._text} has the {name} {least}; use another work folder")
        for name in {*_SPLITS}.intersection(table.column_names):
            if odd := {*table[name].unique().to_pylist()} - _SPLITS[name]:
                raise DamagedTableError(f"{self._text} has the {name} {min(odd)[:60]!a}; use another work folder")
        if "key" in table.column_names:
            require_plain_keys(table["key"], self._text)
        return table


@contextmanager
def open_image_rows(location: Location, schema: pa.Schema) -> Iterator[ImageRows]:
    """Open `images.parquet` or `split.parquet`.

    Raises:
        DamagedTableError: it is not such a table.
        DatasetError: it is missing or cannot be read.
    """
    with open_row_groups(location, schema) as groups:
        yield ImageRows(groups, location.text)
