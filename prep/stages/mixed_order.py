"""The two orders of a dump whose classes lie mixed: by class for `split`, and as it is stored for `resize`."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from in21k.prep.bucket_sort import BUCKETS, BucketSort, Numbers, codes
from in21k.prep.records import IMAGES_SCHEMA, SPLIT_SCHEMA
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.record import IMAGES, SPLIT
from in21k.prep.tables import plain_schema, write_tables
from in21k.shards_manifest.storage.location import Location

_IMAGES_PER_GROUP = 1 << 14
_SPLIT_GROUPS = 256
"""Row groups of the split table of a small dump, of which resize makes its parts."""
_FEWEST_ROWS, _MOST_ROWS = 16, 1 << 11
"""Of a row group of the split table."""


@contextmanager
def images_in_class_order(work: Location) -> Iterator[BucketSort]:
    """Yield what takes the rows of `images.parquet` in any order; on success the table holds them class by class."""
    with BucketSort(work, plain_schema(IMAGES_SCHEMA), _bucket_of_class) as rows:
        yield rows
        write_tables(work / IMAGES, IMAGES_SCHEMA, rows.tables(_by_class), _IMAGES_PER_GROUP)


@contextmanager
def split_in_dump_order(work: Location, images: int) -> Iterator[BucketSort]:
    """Yield what takes the rows of the split table in any order; on success the table holds them in the dump's order.

    Args:
        work: the work folder, with `images.parquet`.
        images: about how many rows there will be.
    """
    places = _Places(work / IMAGES)
    group = min(max(_FEWEST_ROWS, images // _SPLIT_GROUPS), _MOST_ROWS)
    with BucketSort(work, plain_schema(SPLIT_SCHEMA), places.buckets) as rows:
        yield rows
        write_tables(work / SPLIT, SPLIT_SCHEMA, rows.tables(_by_place), group)


class _Places:
    """Where each archive of a dump begins if they are laid end to end."""

    def __init__(self, images: Location) -> None:
        ends: dict[str, int] = {}
        with open_image_rows(images, IMAGES_SCHEMA) as file:
            for group in range(len(file)):
                table = file.read(group, names=["archive", "offset", "size"])
                last = (
                    table.append_column("end", pa.array(_ends(table))).group_by("archive").aggregate([("end", "max")])
                )
                for archive, end in zip(last["archive"].to_pylist(), last["end_max"].to_pylist(), strict=True):
                    ends[archive] = max(ends.get(archive, 0), end)
        self._starts: dict[str, int] = {}
        self._total = 0
        for archive in sorted(ends):
            self._starts[archive] = self._total
            self._total += ends[archive]

    def buckets(self, table: pa.Table) -> Numbers:
        """Return int64 [rows]: the bucket of each row."""
        encoded = table["archive"].combine_chunks().dictionary_encode()
        starts = np.array([self._starts[archive] for archive in encoded.dictionary.to_pylist()], np.int64)
        places = starts[encoded.indices.to_numpy()] + table["offset"].to_numpy()
        buckets: Numbers = places // max(1, -(-self._total // BUCKETS))
        return buckets


def _ends(table: pa.Table) -> Numbers:
    ends: Numbers = table["offset"].to_numpy() + table["size"].to_numpy() + 1
    return ends


def _bucket_of_class(table: pa.Table) -> Numbers:
    encoded = table["wnid"].combine_chunks().dictionary_encode()
    buckets = np.array([zlib.crc32(wnid.encode()) % BUCKETS for wnid in encoded.dictionary.to_pylist()], np.int64)
    of_rows: Numbers = buckets[encoded.indices.to_numpy()]
    return of_rows


def _by_class(table: pa.Table) -> Numbers:
    return np.argsort(codes(table["wnid"]), kind="stable")


def _by_place(table: pa.Table) -> Numbers:
    return np.lexsort((table["offset"].to_numpy(), codes(table["archive"])))
