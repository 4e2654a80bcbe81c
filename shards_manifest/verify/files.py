"""Checks of the dataset's files as such: present, listed, of the right length and digest."""

from collections.abc import Iterator
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.errors import DatasetError, one_line
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, MANIFEST, REJECTS, SAMPLES, SHARD_SUFFIX, SPLITS
from in21k.shards_manifest.verify.subject import Observations, Subject


def _listed(subject: Subject) -> dict[str, int]:
    """Return the length of every file that the manifest lists."""
    shards = {shard.path: shard.bytes for split in SPLITS for shard in subject.manifest.splits[split]}
    return shards | {name: table.bytes for name, table in subject.manifest.tables.items()}


def missing_files(subject: Subject) -> Observations:
    """Yield the shards and tables that are missing."""
    for path in _listed(subject):
        if path not in subject.files:
            link = subject.location.first_link(path)
            yield path, f"{link} is a symbolic link" if link and link != path else "the manifest lists it"


def other_lengths(subject: Subject) -> Observations:
    """Yield the shards and tables whose length differs from the manifest's."""
    for path, size in _listed(subject).items():
        found = subject.files.get(path, size)
        if found != size:
            yield path, f"{found:,} bytes, the manifest says {size:,}"


def stray_shards(subject: Subject) -> Observations:
    """Yield tars that the manifest does not list, which readers that match file names would read."""
    known = _listed(subject)
    for path in subject.files:
        if path.endswith(SHARD_SUFFIX) and path not in known:
            yield path, f"{subject.files[path]:,} bytes"


def table_digests(subject: Subject) -> Observations:
    """Yield the tables whose digest differs from the manifest's, or that can be opened and not read."""
    for name, table in subject.manifest.tables.items():
        if name in subject.files and name not in subject.unsound:
            try:
                digest = (subject.location / name).sha256()
            except DatasetError as error:
                yield name, str(error)
            else:
                if digest != table.sha256:
                    yield name, f"{digest[:16]}…, the manifest says {table.sha256[:16]}…"


def unreadable_tables(subject: Subject) -> Observations:
    """Yield the tables that cannot be opened."""
    for name in subject.manifest.tables:
        if name in subject.files and name not in subject.unsound:
            try:
                (subject.location / name).open_input().close()
            except DatasetError as error:
                yield name, str(error)


def damaged_tables(subject: Subject) -> Observations:
    """Yield the tables that are not Parquet, or whose number of rows differs from the manifest's."""
    for name, table in subject.manifest.tables.items():
        if name in subject.files and name not in subject.unsound:
            try:
                with (subject.location / name).open_input() as file:
                    rows = pq.read_metadata(file).num_rows
            except (pa.ArrowException, OSError) as error:
                yield name, f"not a Parquet table ({one_line(error)})"
            else:
                if rows != table.rows:
                    yield name, f"{rows:,} rows, the manifest says {table.rows:,}"


def contradictions(subject: Subject) -> Observations:
    """Yield the contradictions within the manifest."""
    for message in _contradictions(subject):
        yield MANIFEST, message


def _contradictions(subject: Subject) -> Iterator[str]:
    manifest = subject.manifest
    total = 0
    for split in SPLITS:
        samples = manifest.samples(split)
        total += samples
        if manifest.counts.get(split, samples) != samples:
            yield f"{samples:,} {split} samples in shards, {manifest.counts[split]:,} in the counts"
    if SAMPLES in manifest.tables and manifest.tables[SAMPLES].rows != total:
        yield f"{total:,} samples in shards, {manifest.tables[SAMPLES].rows:,} rows in {SAMPLES}"
    if HIERARCHY in manifest.tables and manifest.tables[HIERARCHY].rows != manifest.classes:
        yield f"{manifest.classes:,} classes, {manifest.tables[HIERARCHY].rows:,} rows in {HIERARCHY}"
    names = [PurePosixPath(shard.path).name for split in SPLITS for shard in manifest.splits[split]]
    if len(set(names)) != len(names):
        yield f"{len(names) - len(set(names))} shard names appear twice; readers that cache by name would confuse them"
    for name in (HIERARCHY, CLASSES, SAMPLES, REJECTS):
        if name not in manifest.tables:
            yield f"the table {name} is not listed"
