"""The dataset under verification, as its checks see it."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.errors import DatasetError, one_line
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, Manifest
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.verify.sample_summary import SampleSummary, summarize

Observations: TypeAlias = Iterator[tuple[str, str] | tuple[str, str, int]]
"""What a check yields: the path of the file to blame, what was seen, and how often if it was seen several times."""


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
        return self._table(HIERARCHY)

    @cached_property
    def classes(self) -> pa.Table:
        """`classes.parquet`."""
        return self._table(CLASSES)

    @cached_property
    def wnids(self) -> list[str]:
        """The wnids in the order of the hierarchy."""
        wnids: list[str] = self.hierarchy["wnid"].to_pylist()
        return wnids

    @cached_property
    def samples(self) -> SampleSummary:
        """The summary of `samples.parquet`."""
        return summarize(self.location, self.manifest, self.wnids)

    def _table(self, name: str) -> pa.Table:
        try:
            return pq.read_table(io.BytesIO((self.location / name).read_bytes()))
        except pa.ArrowException as error:
            raise DatasetError(f"{name} cannot be read ({one_line(error)})") from error
