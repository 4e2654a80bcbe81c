"""Repair of a prepared dataset: the files that `verify` blames are rewritten from the parts in the work folder."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from in21k.prep.dataset.verify import check_dataset
from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers
from in21k.prep.records import DATASET_CLASSES_SCHEMA
from in21k.prep.stages.describe import dataset_tables, stored_parameters
from in21k.prep.stages.drop import settle_drops
from in21k.prep.stages.parts import count_parts, discarding_damaged
from in21k.prep.stages.record import PARTS, locked, required
from in21k.prep.stages.shard import ShardParameters, require_made_from, write_shards
from in21k.prep.stages.shard_files import ShardPlan, ShardTask, index_shard, plan_shards, reopen, write_shard, writing
from in21k.prep.tables import write_table
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.json_file import read_json_bytes
from in21k.shards_manifest.manifest import (
    CLASSES,
    HIERARCHY,
    MANIFEST,
    SAMPLES,
    SHARD_SUFFIX,
    SPLITS,
    Manifest,
    is_intact,
    read_manifest,
)
from in21k.shards_manifest.markers import UNFINISHED
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.sidecars import write_sidecars
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.verify.findings import Depth, Finding
from in21k.tree.table import as_format_2

_STRAY = "E104"


@dataclass(frozen=True)
class Repaired:
    """The result of a repair."""

    written: tuple[str, ...]
    """Files that were rewritten, relative to the dataset."""
    deleted: tuple[str, ...]
    """Copies of shards under names that the manifest does not list."""
    left: tuple[Finding, ...]
    """Findings that remain."""


def repair_dataset(work: Location, output: Location, workers: Workers) -> Repaired:
    """Rewrite the damaged files of a dataset, byte for byte as they were, and return what was done.

    Args:
        work: the work folder that the dataset was made from, with its parts.
        output: the dataset.
        workers: who reads and writes the shards.

    Raises:
        DamagedPartError: a part is damaged; it was discarded, and `in21k-prep resize` makes it anew.
        PrepError: `work` no longer has its parts, did not make this dataset, or would write other bytes now.
    """
    required(work, "resize")
    if not count_parts(work / PARTS):
        raise PrepError(
            f"{work.text}: its parts are gone, and a repair is made from them; "
            "delete resize.json there and run `in21k-prep resize` again"
        )
    if not _has_intact_manifest(output):
        return _remake(work, output, workers)
    manifest = read_manifest(output)
    parameters = require_made_from(work, output, manifest)
    found = check_dataset(output, Depth.DIGEST, workers).findings
    if not found:
        return Repaired((), (), ())
    damaged = {finding.path for finding in found if finding.code != _STRAY}
    with writing(work, output):
        written = _rewrite(work, output, manifest, parameters, damaged, workers)
        deleted = _delete_copies(output, manifest)
    return Repaired(tuple(written), deleted, check_dataset(output, Depth.DIGEST, workers).findings)


def _rewrite(
    work: Location,
    output: Location,
    manifest: Manifest,
    parameters: ShardParameters,
    damaged: set[str],
    workers: Workers,
) -> list[str]:
    """Rewrite damaged files and return their paths: shards, then tables, then the sidecars that come from both."""
    plan = _plan(work, output, parameters, workers)
    broken = [task for task in plan.tasks if task.path in damaged]
    with ThreadPoolExecutor(workers.count) as pool:
        _all(pool.map(write_shard, broken), "repair", len(broken))
        if SAMPLES in damaged:
            sound = [task for task in plan.tasks if task.path not in damaged]
            _all(pool.map(index_shard, sound), "list samples", len(sound))
            _write_sample_table(plan, manifest)
    written = [task.path for task in broken] + sorted(damaged & {SAMPLES})
    if lost := sorted(damaged & set(manifest.tables) - {SAMPLES}):
        tables = dataset_tables(work, parameters.recorded(), plan)
        for name in lost:
            write_table(output / name, tables[name])
        if HIERARCHY in lost and (output / HIERARCHY).sha256() != manifest.tables[HIERARCHY].sha256:
            write_table(output / HIERARCHY, as_format_2(tables[HIERARCHY]))  # by an older version
        written += lost
    _require_same_bytes(output, manifest, broken, written)
    return written + write_sidecars(output, manifest)


def _all(done: Iterable[object], what: str, shards: int) -> None:
    """Wait for what is done to shards, one after another, and show how far it has come."""
    with Progress(what, "shard", shards) as bar:
        for _ in done:
            bar.update()


def _plan(work: Location, output: Location, parameters: ShardParameters, workers: Workers) -> ShardPlan:
    """Return the plan that a dataset was made by."""
    dropped = settle_drops(work, parameters.drop, None, workers)
    return plan_shards(work, output, parameters.samples_per_shard, dropped)


def _write_sample_table(plan: ShardPlan, manifest: Manifest) -> None:
    """Write the sample table, without fingerprints if the dataset was written before there were any."""
    plan.write_sample_table()
    if (plan.output / SAMPLES).sha256() != manifest.tables[SAMPLES].sha256:
        plan.write_sample_table(fingerprints=False)


def _require_same_bytes(output: Location, manifest: Manifest, shards: list[ShardTask], written: list[str]) -> None:
    """Stop if the rewritten files are not what the manifest says."""
    digests = {shard.path: shard.sha256 for split in SPLITS for shard in manifest.splits[split]}
    for task in shards:
        if task.shard().sha256 != digests[task.path]:
            raise PrepError(
                f"{(output / task.path).text}: the parts make other bytes than the manifest says; the dataset was made "
                "from another work folder, or its parts are damaged too"
            )
    for name in set(written) & set(manifest.tables):
        if (output / name).sha256() != manifest.tables[name].sha256:
            raise PrepError(
                f"{(output / name).text}: pyarrow {pa.__version__} writes other bytes than "
                f"{manifest.versions.get('pyarrow')}, which made this dataset; repair it with that version"
            )


def _remake(work: Location, output: Location, workers: Workers) -> Repaired:
    """Rewrite everything, since without a manifest no file is known to be sound."""
    parameters = _parameters_without_manifest(output)
    output.require_own_folders(UNFINISHED, *SPLITS)
    with locked(work), discarding_damaged(work):
        plan = _plan(work, output, parameters, workers)
        tables = dataset_tables(work, parameters.recorded(), plan)
    found = read_columns(output / CLASSES, DATASET_CLASSES_SCHEMA).select(tables[CLASSES].column_names)
    if not tables[CLASSES].equals(found):
        raise PrepError(f"{output.text}: it has no sound {MANIFEST}, and was not made from {work.text}")
    reopen(output)
    (output / MANIFEST).delete_file()
    manifest = write_shards(work, output, parameters, workers, None)
    deleted = _delete_copies(output, manifest)
    written = sorted(set(output.files()))
    return Repaired(tuple(written), deleted, check_dataset(output, Depth.DIGEST, workers).findings)


def _has_intact_manifest(output: Location) -> bool:
    location = output / MANIFEST
    return location.exists() and is_intact(read_json_bytes(location))


def _parameters_without_manifest(output: Location) -> ShardParameters:
    """Return the parameters of shard that `classes.parquet` stores."""
    try:
        return ShardParameters.of(stored_parameters(output))
    except (DatasetError, KeyError, ValueError, TypeError) as error:
        raise PrepError(
            f"{output.text}: neither {MANIFEST} nor {CLASSES} says how it was made; write the dataset "
            "again with `in21k-prep shard`, into an empty folder"
        ) from error


def _delete_copies(output: Location, manifest: Manifest) -> tuple[str, ...]:
    """Delete tars with the content of a shard under a name that is not listed, such as a renamed shard; others stay."""
    digests = {shard.sha256 for split in SPLITS for shard in manifest.splits[split]}
    known = {shard.path for split in SPLITS for shard in manifest.splits[split]}
    copies = [
        path
        for path in output.files()
        if path.endswith(SHARD_SUFFIX) and path not in known and (output / path).sha256() in digests
    ]
    for path in copies:
        (output / path).delete_file()
    return tuple(copies)
