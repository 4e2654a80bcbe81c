"""The sample table: where each sample is in its shard, a row group per shard, so that one read gets any sample."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from in21k.shards_manifest.errors import DatasetError, one_line
from in21k.shards_manifest.manifest import SAMPLES, SPLITS, Manifest, Shard
from in21k.shards_manifest.parquet_table import require_plausible
from in21k.shards_manifest.storage.location import Location

LABEL_SUFFIX = ".cls"
"""The suffix of label members in shards."""

PLAIN_KEY = r"[A-Za-z0-9._-]{1,100}"
"""Keys name files, in shards and where images are saved; others are refused."""

_WNID = re.compile(r"n[0-9]{8}")
_PLAIN = re.compile(r"[a-z0-9-]{1,32}")
_OTHERWISE = re.compile(r"[^A-Za-z0-9]+")
_DIGESTED = re.compile(r".*-[0-9a-f]{10}")
_READABLE = 24
"""How many characters of a label are kept where its keys need a digest."""

SCHEMA = pa.schema(
    [
        pa.field("split", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),  # position in its split
        pa.field("key", pa.string(), nullable=False),  # the sample's members are KEY.jpg (or .webp) and KEY.cls
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # of the sample's first tar header
        pa.field("size", pa.int32(), nullable=False),  # of all its members with headers and padding, in bytes
        pa.field("image_bytes", pa.int32(), nullable=False),  # of the image file, which begins 512 bytes after `offset`
    ]
)

"""The columns that every sample table has."""

FINGERPRINTS = pa.schema(
    [
        pa.field("phash", pa.uint64()),  # the signs of the whole picture's lowest frequencies; 0: of a single color
        pa.field("crop_phashes", pa.binary(40)),  # of five windows of it, 8 bytes each, big-endian
        pa.field("file_digest", pa.uint64()),  # XXH3 of the image's file in the dump
    ]
)
"""The columns by which copies of a picture are found; null for an image that an older version resized, and left out
where that is so for all."""

_EVERY = pa.schema([*SCHEMA, *FINGERPRINTS])


def key_prefix(label: str) -> str:
    """Return what the keys of a class begin with, up to and including their first `_`.

    It is the label, if that consists of up to 32 of `a-z 0-9 -` (as wnids do), else what can be kept of the label's
    end and a digest of all of it. No two labels share one, nor do two differ only in the case of letters.
    """
    if _WNID.fullmatch(label) or (_PLAIN.fullmatch(label) and not _DIGESTED.fullmatch(label)):
        return f"{label}_"
    digest = hashlib.blake2b(label.encode(), digest_size=5).hexdigest()
    readable = _OTHERWISE.sub("-", label).strip("-")
    if len(readable) > _READABLE:
        end = readable[-_READABLE:].strip("-")
        readable = end.partition("-")[2] or end  # without the rest of a word
    return f"{readable or 'class'}-{digest}_"


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """Where the n samples of a shard are."""

    offsets: npt.NDArray[np.int64]
    """int64 [n]: where each sample's first header begins in the shard, in bytes."""
    sizes: npt.NDArray[np.int64]
    """int64 [n]: each sample's length in bytes, headers and padding included."""
    class_indices: npt.NDArray[np.int64]
    """int64 [n]."""


def require_plain_keys(keys: pa.ChunkedArray, text: str) -> None:
    """Refuse keys that must not name files.

    Args:
        keys: strings.
        text: where they stand, for the message.

    Raises:
        DatasetError: one is not plain.
    """
    odd = keys.filter(pc.invert(pc.match_substring_regex(keys, rf"\A{PLAIN_KEY}\z")))
    if len(odd):
        shown = odd[0].cast(pa.binary()).as_py()[:100].decode("utf-8", "replace")
        raise DatasetError(
            f"{text} has the key {shown!a}; a key is at most 100 of the characters A-Z, a-z, 0-9, '.', '_' and '-'"
        )


class SampleTable:
    """The sample table of a dataset, read one shard at a time."""

    def __init__(self, dataset: Location, manifest: Manifest) -> None:
        """Open the table.

        Raises:
            DatasetError: it is missing or does not belong to the manifest.
        """
        self._location = dataset.child(SAMPLES)
        self._first_group = {"train": 0, "val": len(manifest.splits["train"])}
        self._shards, self._classes = manifest.splits, manifest.classes
        try:
            self._file: Any = pq.ParquetFile(self._location.open_input())
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"{self._location.text} is not a Parquet table ({one_line(error)})") from error
        self._require_own(manifest)

    def _require_own(self, manifest: Manifest) -> None:
        """Refuse a table that is not the manifest's, or larger than its file can be, before any of it is read."""
        groups = sum(len(manifest.splits[split]) for split in SPLITS)
        if self._file.num_row_groups != groups:
            raise DatasetError(f"{self._location.text} has {self._file.num_row_groups} shards, the manifest {groups}")
        metadata = self._file.metadata
        try:
            require_plausible(metadata, self._location.size() or 0)
        except ValueError as error:
            raise DatasetError(f"{self._location.text} cannot be a sample table ({error})") from error
        for split in SPLITS:
            for number, record in enumerate(manifest.splits[split]):
                if metadata.row_group(self._first_group[split] + number).num_rows != record.samples:
                    raise DatasetError(f"{self._location.text} contradicts the manifest's record of {record.path}")

    def index(self, split: str, shard: int) -> ShardIndex:
        """Return where the samples of a split's shard are.

        Raises:
            DatasetError: the table contradicts the manifest.
        """
        return self._index(self._read(split, shard, ["offset", "size", "class_index"]), self._shards[split][shard])

    def labeled_index(self, split: str, shard: int) -> ShardIndex:
        """Return where the samples of a split's shard are, once it is clear that each label is a class index.

        Raises:
            DatasetError: the table contradicts the manifest.
        """
        index = self.index(split, shard)
        labels = index.class_indices
        if not (labels.min() >= 0 and labels.max() < self._classes):
            raise DatasetError(
                f"{self._location.text} has a label outside 0 to {self._classes - 1} in "
                f"{self._shards[split][shard].path}; run `in21k-prep verify` for details"
            )
        return index

    def keys_and_index(self, split: str, shard: int) -> tuple[pa.StringArray, ShardIndex]:
        """Return the keys of a shard's samples as an Arrow array, and where the samples are.

        Raises:
            DatasetError: the table is damaged or contradicts the manifest.
        """
        table = self._read(split, shard, ["key", "offset", "size", "class_index"])
        return table["key"].combine_chunks(), self._index(table, self._shards[split][shard])

    def _index(self, table: pa.Table, record: Shard) -> ShardIndex:
        offsets, sizes, classes = (
            table[name].to_numpy().astype(np.int64) for name in ("offset", "size", "class_index")
        )
        if len(offsets) != record.samples or (offsets + sizes).max() > record.bytes or offsets.min() < 0:
            raise DatasetError(f"{self._location.text} contradicts the manifest's record of {record.path}")
        return ShardIndex(offsets, sizes, classes)

    def keys(self, split: str, shard: int) -> list[str]:
        """Return the keys of a shard's samples, in order.

        Raises:
            DatasetError: the table is damaged.
        """
        keys: list[str] = self.key_column(split, shard).to_pylist()
        return keys

    def key_column(self, split: str, shard: int) -> pa.StringArray:
        """Return the keys of a shard's samples, in order, as an Arrow array.

        Raises:
            DatasetError: the table is damaged.
        """
        return self._read(split, shard, ["key"])["key"].combine_chunks()

    def rows(self, split: str, shard: int) -> pa.Table:
        """Return a shard's rows in order, without the columns `split` and `shard`.

        Raises:
            DatasetError: the table is damaged.
        """
        columns = [
            name for name in self._file.schema_arrow.names if name in SCHEMA.names and name not in ("split", "shard")
        ]
        return self._read(split, shard, columns)

    def of_split(self, split: str) -> pa.Table:
        """Return all rows of a split in order, with SCHEMA.

        Raises:
            DatasetError: the table is damaged.
        """
        first = self._first_group[split]
        groups = list(range(first, first + len(self._shards[split])))
        try:
            return self._file.read_row_groups(groups, columns=SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DatasetError(
                f"{self._location.text}: the rows of {split} cannot be read ({one_line(error)})"
            ) from error

    def fingerprints(self, split: str, shard: int) -> pa.Table | None:
        """Return the columns of FINGERPRINTS of a shard's samples, None if an older version wrote the table.

        Raises:
            DatasetError: the table is damaged.
        """
        if not set(FINGERPRINTS.names) <= set(self._file.schema_arrow.names):
            return None
        return self._read(split, shard, FINGERPRINTS.names)

    def file_digests(self, split: str, shard: int) -> pa.ChunkedArray | None:
        """Return the column `file_digest` of a shard's samples, None if an older version wrote the table.

        Raises:
            DatasetError: the table is damaged.
        """
        if "file_digest" not in self._file.schema_arrow.names:
            return None
        return self._read(split, shard, ["file_digest"])["file_digest"]

    def _read(self, split: str, shard: int, columns: list[str]) -> pa.Table:
        group = self._first_group[split] + shard
        try:
            table = self._file.read_row_group(group, columns=columns, use_threads=False).select(columns)
            table = table.cast(pa.schema([_EVERY.field(name) for name in columns]))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DatasetError(
                f"{self._location.text}: row group {group} cannot be read ({one_line(error)})"
            ) from error
        if "key" in columns:
            require_plain_keys(table["key"], f"{self._location.text}: {self._shards[split][shard].path}")
        return table
