"""Parquet tables: read from any location, written atomically, and row by row in bounded memory."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.storage.location import Location


class TableWriter:
    """Collects rows and writes them as row groups."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, rows_per_group: int) -> None:
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")
        self._schema = schema
        self._rows_per_group = rows_per_group
        self._columns: list[list[Any]] = [[] for _ in schema]

    def extend(self, *columns: Sequence[Any]) -> None:
        """Add rows, as columns of equal length in the schema's order; the rows of one call share a row group."""
        for column, new in zip(self._columns, columns, strict=True):
            column.extend(new)
        if len(self._columns[0]) >= self._rows_per_group:
            self._flush()

    def close(self) -> None:
        """Write the remaining rows and finish the table."""
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Leave the table unfinished, without the error of an unclosed writer."""
        self._writer.is_open = False

    def _flush(self) -> None:
        if self._columns[0]:
            arrays = [pa.array(column, field.type) for column, field in zip(self._columns, self._schema, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
            for column in self._columns:
                column.clear()


@contextmanager
def table_writer(location: Location, schema: pa.Schema, rows_per_group: int = 1 << 14) -> Iterator[TableWriter]:
    """Yield a writer of a Parquet table that appears under its name when it is complete.

    Raises:
        DatasetError: the file system is full or refuses the write.
    """
    with location.write() as file:
        writer = TableWriter(file, schema, rows_per_group)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.abandon()
            raise


def write_table(location: Location, table: pa.Table, *, checked: bool = False) -> None:
    """Write a whole table atomically; if `checked`, with checksums, by which `read_table` notices damage.

    Raises:
        DatasetError: the file system is full or refuses the write.
    """
    with location.write() as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=checked)


def write_tables(location: Location, schema: pa.Schema, tables: Iterable[pa.Table], rows_per_group: int) -> None:
    """Write tables atomically as one, in row groups of a length; `schema` may have dictionaries where they have texts.

    Raises:
        DatasetError: the file system is full or refuses the write.
    """
    with location.write() as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        held = schema.empty_table()
        for table in tables:
            held = pa.concat_tables([held, table.cast(schema)])
            whole = len(held) - len(held) % rows_per_group
            if whole:
                writer.write_table(held.slice(0, whole), row_group_size=rows_per_group)
                held = held.slice(whole)
        if len(held):
            writer.write_table(held)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the values' types in place of dictionaries."""
    return pa.schema(
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in schema
    )


def plain(table: pa.Table) -> pa.Table:
    """Return a table without dictionary encoding, which makes conversion to Python objects a hundred times slower."""
    return table.cast(plain_schema(table.schema))
