"""Stage 4, shard: merge the sorted parts into globally shuffled WebDataset shards, and describe the dataset."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers, run_tasks
from in21k.prep.progress_bar import progress_bar
from in21k.prep.stages.describe import describe
from in21k.prep.stages.merge import MergeOrder, merge_orders
from in21k.prep.stages.parts import count_parts
from in21k.prep.stages.record import PARTS, StageRecord, locked, require_same, required
from in21k.prep.stages.shard_files import (
    UNFINISHED,
    is_complete,
    shard_record,
    shard_tasks,
    write_sample_table,
    write_shard,
)
from in21k.shards_manifest.manifest import MANIFEST, SPLITS, Manifest, read_manifest
from in21k.shards_manifest.storage.location import Location
from in21k.tree.parents import ParentRule

STAGE = "shard"


@dataclass(frozen=True)
class ShardParameters:
    """What `shard` lets its user choose."""

    samples_per_shard: int = 10_000
    parents: ParentRule = ParentRule.PUBLISHED
    """Which hypernym is the parent, in the hierarchy table."""


def write_shards(work: Location, output: Location, parameters: ShardParameters, workers: Workers) -> Manifest:
    """Write the shards, the tables and, last of all, the manifest of a dataset; return the manifest.

    Goes on where a run before was killed. Every file is a function of the dump and the parameters alone.

    Args:
        work: the work folder, with `resize` done.
        output: the dataset's folder, made where it is missing.
        parameters: the choices.
        workers: who does it; each worker holds one shard in memory.

    Raises:
        PrepError: a stage before is missing, or `output` holds something else.
    """
    if parameters.samples_per_shard < 1:
        raise PrepError(f"--samples-per-shard {parameters.samples_per_shard}: give 1 or more")
    stages = finished_stages(work)
    begun = run_identity(stages, parameters)
    manifest = _finished(output, begun)
    if manifest is not None:
        return manifest
    _refuse_strangers(output)
    with locked(work), locked(output / UNFINISHED):
        _begin(output, begun)
        orders = _merge_order(work, stages["resize"])
        tasks = list(shard_tasks(work / PARTS, output, orders, parameters.samples_per_shard))
        todo = [task for task in tasks if not is_complete(task)]
        total = sum(len(order) for order in orders.values())
        with progress_bar(STAGE, "img", total, total - sum(len(task.samples) for task in todo)) as bar:
            for samples in run_tasks(write_shard, todo, workers):
                bar.update(samples)
        write_sample_table(output, tasks)
        splits = {split: tuple(shard_record(task) for task in tasks if task.split == split) for split in SPLITS}
        manifest = describe(work, output, stages, asdict(parameters), splits, orders)
        (output / MANIFEST).write_bytes(manifest.to_json())
        (output / UNFINISHED).delete_folder()
    return manifest


def _merge_order(work: Location, resized: StageRecord) -> dict[str, MergeOrder]:
    """Return the global order of all that `resize` left.

    Raises:
        PrepError: some of it is gone.
    """
    parts = count_parts(work / PARTS)
    orders = merge_orders(work / PARTS, parts) if parts else {}
    if any(split not in orders or len(orders[split]) != resized.counts[split] for split in SPLITS):
        raise PrepError(f"{work / PARTS}: parts that `in21k-prep resize` wrote are gone; use another work folder")
    return orders


def finished_stages(work: Location) -> dict[str, StageRecord]:
    """Return the records of the stages before this one.

    Raises:
        PrepError: one is missing.
    """
    return {stage: required(work, stage) for stage in ("filter", "split", "resize")}


def run_identity(stages: Mapping[str, StageRecord], parameters: ShardParameters) -> dict[str, Any]:
    """Return what tells this dataset from others: source, parameters of all stages, decoders."""
    return {
        "source": dict(stages["filter"].inputs),
        **{stage: dict(record.parameters) for stage, record in stages.items()},
        STAGE: asdict(parameters),
        "decoders": {k: v for k, v in stages["resize"].inputs.items() if not k.endswith(".parquet")},
    }


def require_made_by(output: Location, manifest: Manifest, identity: Mapping[str, Any]) -> None:
    """Refuse a dataset that another run has made.

    Raises:
        PrepError: it names the first difference.
    """
    source = {name: value for name, value in manifest.source.items() if name != "name"}
    decoders = {name: manifest.versions.get(name) for name in identity["decoders"]}
    _require_same_run(output, {"source": source, **manifest.parameters, "decoders": decoders}, identity)


def _finished(output: Location, begun: Mapping[str, Any]) -> Manifest | None:
    """Return the manifest of a complete dataset that was made the same way, None where there is still work to do."""
    if not (output / MANIFEST).exists():
        return None
    manifest = read_manifest(output)
    require_made_by(output, manifest, begun)
    (output / UNFINISHED).delete_folder()
    return manifest


def _refuse_strangers(output: Location) -> None:
    """Refuse a folder that holds something which no run of ours has begun."""
    if output.exists():
        raise PrepError(f"{output.text} is a file; name a folder for the dataset")
    found = output.names()
    if found and UNFINISHED not in found:
        raise PrepError(f"{output.text} holds {found[0]} and no dataset; name an empty folder or a new one")


def _begin(output: Location, begun: Mapping[str, Any]) -> None:
    """Make the folders, or make sure that what was begun there is the same."""
    plan = output / UNFINISHED / "begun.json"
    if plan.exists():
        _require_same_run(output, json.loads(plan.read_bytes()), begun)
    else:
        plan.write_bytes(json.dumps(begun).encode())
    for folder in (output, output / UNFINISHED, *(output / split for split in SPLITS)):
        folder.make_folder()
        folder.remove_temporaries()


def _require_same_run(output: Location, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for stage in now:
        require_same(f"{output.text}: a dataset was made there by {stage}", before[stage], now[stage])
