"""The dataset under verification, as its checks see it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import pyarrow as pa

from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, Manifest
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.verify.sample_summary import SampleSummary, summarize

Observations: TypeAlias = Iterator[tuple[str, str] | tuple[str, str, int]]
"""What a check yields: the path of the file to blame, what was seen, and how often if it was seen several times."""

_CLASSES = pa.schema(
    [
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("images_train", pa.int64(), nullable=False),
        pa.field("images_val", pa.int64(), nullable=False),
    ]
)
_HIERARCHY = pa.schema(
    [
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("parent_index", pa.int32(), nullable=False),
        pa.field("parent_wnid", pa.string()),
        pa.field("level", pa.int32(), nullable=False),
        pa.field("path", pa.list_(pa.int32()), nullable=False),
        pa.field("children", pa.list_(pa.int32()), nullable=False),
        pa.field("images_train", pa.int64(), nullable=False),
        pa.field("images_val", pa.int64(), nullable=False),
    ]
)
"""The columns that checks compare."""


@dataclass(eq=False)
class Subject:
    """A dataset under verification; its tables are read once, when the first check needs them."""

    location: Location
    manifest: Manifest
    files: Mapping[str, int]
    """The length of every existing file, by relative path."""
    unsound: set[str] = field(default_factory=set)
    """Files with a finding; checks that need one of them are skipped."""

    @cached_property
    def hierarchy(self) -> pa.Table:
        """`hierarchy.parquet`."""
        return read_columns(self.location / HIERARCHY, _HIERARCHY)

    @cached_property
    def classes(self) -> pa.Table:
        """`classes.parquet`."""
        return read_columns(self.location / CLASSES, _CLASSES)

    @cached_property
    def wnids(self) -> list[str]:
        """The wnids in the order of the hierarchy."""
        wnids: list[str] = self.hierarchy["wnid"].to_pylist()
        return wnids

    @cached_property
    def samples(self) -> SampleSummary:
        """The summary of `samples.parquet`."""
        return summarize(self.location, self.manifest, self.wnids)
