"""A sort of more rows than memory holds: rows go to buckets on disk, and each bucket is sorted by itself."""

from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.storage.location import Location

BUCKETS = 64

_ROWS_HELD = 1 << 16
"""Rows in memory before they go to the buckets; they are Python objects."""

Numbers = npt.NDArray[np.int64]


class BucketSort:
    """Rows in buckets on disk, which come back bucket by bucket; memory is bounded by the largest bucket."""

    def __init__(self, folder: Location, schema: pa.Schema, bucket_of: Callable[[pa.Table], Numbers]) -> None:
        """Begin without rows.

        Args:
            folder: where the buckets lie, as files without a name that vanish with the process; for one in an object
                store they lie among this machine's temporary files.
            schema: of the rows, without dictionaries.
            bucket_of: returns int64 [rows], the bucket of each row of a table, from 0 to BUCKETS - 1.
        """
        self._folder = folder
        self._schema = schema
        self._bucket_of = bucket_of
        self._columns: list[list[Any]] = [[] for _ in schema]
        self._buckets: dict[int, tuple[IO[bytes], Any]] = {}

    def __enter__(self) -> "BucketSort":
        return self

    def __exit__(self, *_: object) -> None:
        for file, _ in self._buckets.values():
            file.close()

    def extend(self, *columns: Sequence[Any]) -> None:
        """Add rows, as columns of equal length in the schema's order.

        Raises:
            DatasetError: the disk is full.
        """
        for column, new in zip(self._columns, columns, strict=True):
            column.extend(new)
        if len(self._columns[0]) >= _ROWS_HELD:
            self._spill()

    def tables(self, order: Callable[[pa.Table], Numbers]) -> Iterator[pa.Table]:
        """Yield each bucket's rows in an order, by number of the bucket.

        Args:
            order: returns int64 [rows], the rows of a table in the wanted order; they come as they were added.

        Raises:
            DatasetError: the disk is full.
        """
        self._spill()
        for bucket in sorted(self._buckets):
            file, writer = self._buckets[bucket]
            with errors_naming(self._folder.text):
                writer.close()
                file.seek(0)
                table = pa.ipc.open_stream(file).read_all()
            yield table.take(pa.array(order(table)))
            file.close()

    def _spill(self) -> None:
        if not self._columns[0]:
            return
        arrays = [pa.array(column, field.type) for column, field in zip(self._columns, self._schema, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        for column in self._columns:
            column.clear()
        buckets = self._bucket_of(table)
        order = np.argsort(buckets, kind="stable")
        table = table.take(pa.array(order))
        found, first = np.unique(buckets[order], return_index=True)
        with errors_naming(self._folder.text):
            for bucket, start, stop in zip(found, first, [*first[1:], len(table)], strict=True):
                self._writer(int(bucket)).write_table(table.slice(start, stop - start))

    def _writer(self, bucket: int) -> Any:
        if bucket not in self._buckets:
            file = self._folder.unnamed_file()
            self._buckets[bucket] = file, pa.ipc.new_stream(file, self._schema)
        return self._buckets[bucket][1]


def codes(column: pa.ChunkedArray) -> Numbers:
    """Return int64 [rows], a number for each text of a column that orders texts by their bytes."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    texts = [text.encode() for text in encoded.dictionary.to_pylist()]
    rank = np.empty(len(texts), np.int64)
    rank[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    ranks: Numbers = rank[encoded.indices.to_numpy()]
    return ranks
