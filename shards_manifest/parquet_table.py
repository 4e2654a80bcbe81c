"""Parquet tables from anyone: read with the columns and types that are expected, after a look at their size."""

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.errors import DamagedTableError, one_line
from in21k.shards_manifest.storage.location import Location

_ROWS_PER_BYTE = 4
_SMALL = 1 << 20
"""Rows and bytes that every table may have."""
_UNPACKED = 256
"""Bytes of memory per byte of the file, at most."""


def read_columns(location: Location, schema: pa.Schema) -> pa.Table:
    """Return the columns of a schema, with its types; a column that may be null may also be missing.

    Raises:
        DamagedTableError: it is not a Parquet table, lacks a column, or claims more rows than its length allows.
        DatasetError: it is missing or cannot be read.
    """
    with location.open_input() as file:
        try:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            require_plausible(parquet.metadata, int(file.size()))
            found = parquet.schema_arrow.names
            lost = [field.name for field in schema if field.name not in found and not field.nullable]
            if lost:
                raise ValueError(f"it has no column {lost[0]}")
            table = parquet.read(columns=[name for name in schema.names if name in found], use_threads=False)
            for field in schema:
                if field.name not in found:
                    table = table.append_column(field, pa.nulls(len(table), field.type))
            metadata = table.schema.metadata
            wanted = schema.with_metadata(metadata) if metadata else schema  # an empty one would be written, too
            table = table.select(schema.names).cast(wanted)  # refuses nulls, too
            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
            raise DamagedTableError(
                f"{location.text} is not a table of the expected kind ({one_line(error)})"
            ) from error
    return table


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
