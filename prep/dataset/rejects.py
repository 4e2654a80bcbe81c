"""What is in the dump but not in the dataset: listed and counted by reason."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from in21k.prep.errors import PrepError
from in21k.prep.records import REJECTS_SCHEMA
from in21k.shards_manifest.command.nearest import did_you_mean
from in21k.shards_manifest.errors import escaped
from in21k.shards_manifest.manifest import REJECTS, read_manifest
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location


class RejectRow(NamedTuple):
    """A row of `rejects.parquet`."""

    wnid: str
    name: str
    stage: str
    reason: str
    detail: str


def read_rejects(dataset: Location, reason: str = "") -> list[RejectRow]:
    """Return a dataset's rejects, of one reason or of all, sorted by reason, class and name.

    Raises:
        DatasetError: there is no dataset.
        PrepError: nothing was rejected for that reason.
    """
    read_manifest(dataset)
    columns = read_columns(dataset / REJECTS, REJECTS_SCHEMA).to_pydict()
    rows = [RejectRow(*row) for row in zip(*columns.values(), strict=True)]
    chosen = [row for row in rows if reason in ("", row.reason)]
    if reason and not chosen:
        known = sorted({row.reason for row in rows})
        hint = did_you_mean(reason, known, f"reasons there: {', '.join(known) or 'none at all'}")
        raise PrepError(f"{dataset.text}: nothing was rejected as {reason!r}; {hint}")
    return sorted(chosen, key=lambda row: (row.reason, row.wnid, row.name))


def counts_by_reason(rows: list[RejectRow]) -> dict[str, int]:
    """Return the number of rejects by reason, most frequent first."""
    return dict(Counter(row.reason for row in rows).most_common())


def lines(rows: list[RejectRow]) -> Iterator[str]:
    """Yield a tab-separated line per reject: reason, class, name, detail; tabs within them are escaped."""
    for row in rows:
        yield "\t".join(map(escaped, (row.reason, row.wnid, row.name, row.detail)))
