"""Parquet tables from anyone: read with the columns and types that are expected, after a look at their size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.errors import DamagedTableError, one_line
from in21k.shards_manifest.storage.location import Location

_ROWS_PER_BYTE = 4
_SMALL = 1 << 20
"""Rows and bytes that every table may have."""
_UNPACKED = 256
"""Bytes of memory per byte of the file, at most."""


class RowGroups:
    """An open table, read by row groups with the columns of a schema; a column that may be null may also be missing."""

    def __init__(self, file: pa.NativeFile, text: str, schema: pa.Schema) -> None:
        """Look at the table's columns and size.

        Args:
            file: the open file.
            text: what messages call it.
            schema: the columns that are wanted, and their types.

        Raises:
            DamagedTableError: it is not a Parquet table, lacks a column, or claims more than its length allows.
        """
        self._text, self._schema = text, schema
        with _damage_of(text):
            self._file = pq.ParquetFile(file, page_checksum_verification=True)
            require_plausible(self._file.metadata, int(file.size()))
            self._found = set(self._file.schema_arrow.names)
            lost = [field.name for field in schema if field.name not in self._found and not field.nullable]
            if lost:
                raise ValueError(f"it has no column {lost[0]}")

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self._file.metadata.num_rows)

    def __len__(self) -> int:
        """Return the number of row groups."""
        return int(self._file.num_row_groups)

    def read(self, groups: Sequence[int], names: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of some row groups.

        Args:
            groups: their numbers.
            names: the columns; by default all of the schema.

        Raises:
            DamagedTableError: they cannot be read, or do not have the schema's types.
        """
        wanted = self._schema if names is None else pa.schema([self._schema.field(name) for name in names])
        there = [name for name in wanted.names if name in self._found]
        with _damage_of(self._text):
            return _typed(self._file.read_row_groups(list(groups), columns=there, use_threads=False), wanted)


@contextmanager
def open_row_groups(location: Location, schema: pa.Schema) -> Iterator[RowGroups]:
    """Open a table that is too large to be read at once.

    Raises:
        DamagedTableError: as `RowGroups`.
        DatasetError: it is missing or cannot be read.
    """
    with location.open_input() as file:
        yield RowGroups(file, location.text, schema)


def read_columns(location: Location, schema: pa.Schema) -> pa.Table:
    """Return the columns of a schema, with its types; a column that may be null may also be missing.

    Raises:
        DamagedTableError: it is not a Parquet table, lacks a column, or claims more rows than its length allows.
        DatasetError: it is missing or cannot be read.
    """
    with location.open_input() as file:
        return _whole(file, location.text, schema)


def columns_of(content: bytes, text: str, schema: pa.Schema) -> pa.Table:
    """Return what `read_columns` returns, of a table whose bytes have been read; `text` is what messages call it."""
    with pa.BufferReader(content) as file:
        return _whole(file, text, schema)


def require_plausible(metadata: pq.FileMetaData, size: int) -> None:
    """Refuse a table that would take far more memory than its file is long, before any is taken.

    Raises:
        ValueError: it has too many rows, or unpacks to too much.
    """
    unpacked = sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    if metadata.num_rows > _SMALL + _ROWS_PER_BYTE * size:
        raise ValueError(f"{metadata.num_rows:,} rows in {size:,} bytes")
    if unpacked > 64 * _SMALL + _UNPACKED * size:
        raise ValueError(f"{unpacked:,} bytes in {size:,}")


def _whole(file: pa.NativeFile, text: str, schema: pa.Schema) -> pa.Table:
    groups = RowGroups(file, text, schema)
    return groups.read(range(len(groups)))


def _typed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with a schema's types; columns that it lacks are null."""
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    metadata = table.schema.metadata
    wanted = schema.with_metadata(metadata) if metadata else schema  # an empty one would be written, too
    table = table.select(schema.names).cast(wanted)  # refuses nulls, too
    table.validate(full=True)
    return table


@contextmanager
def _damage_of(text: str) -> Iterator[None]:
    """Turn whatever a table's bytes make pyarrow raise within the block into one line that begins with its name."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError, MemoryError) as error:
        raise DamagedTableError(f"{text} is not a table of the expected kind ({one_line(error)})") from error
