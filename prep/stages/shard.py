"""Stage 4, shard: merge the sorted parts into globally shuffled WebDataset shards, and describe the dataset."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from in21k.prep.duplicates.image_sets import ListedSet, PreparedSet, open_set
from in21k.prep.duplicates.parameters import DISTANCE
from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers, run_tasks
from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.images.resize_image import decoder_versions
from in21k.prep.stages.describe import describe
from in21k.prep.stages.drop import DropParameters, settle_drops
from in21k.prep.stages.labels import require_rule
from in21k.prep.stages.places import require_output_place
from in21k.prep.stages.record import StageRecord, read_record, require_same, required
from in21k.prep.stages.shard_files import plan_shards, write_shard, writing
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.json_file import is_count, parse_json, read_json_bytes, require_mapping
from in21k.shards_manifest.manifest import MANIFEST, SPLITS, Manifest, read_manifest
from in21k.shards_manifest.markers import UNFINISHED
from in21k.shards_manifest.storage.location import Location, locate
from in21k.tree.parents import ParentRule

STAGE = "shard"
BEGUN = "begun.json"
"""The file in an unfinished dataset that says by which run it was begun."""


@dataclass(frozen=True)
class ShardParameters:
    """The user's choices for `shard`."""

    samples_per_shard: int = 10_000
    parents: ParentRule = ParentRule.PUBLISHED
    """Which hypernym becomes the parent in the hierarchy table."""
    drop_duplicates: str = ""
    """For which twins images are dropped: values of `Drop`, joined by commas; empty for none."""
    distance: int = DISTANCE
    """In how many bits of 64 the hashes of twins may differ."""
    against: str = ""
    """The identities of the other sets in which twins are looked for."""

    @property
    def drop(self) -> DropParameters:
        """What to drop."""
        return DropParameters.of(self.drop_duplicates, self.distance, self.against)

    def recorded(self) -> dict[str, Any]:
        """Return what a manifest states: without what is dropped where that is nothing, as versions before did."""
        stated = asdict(self)
        for name in () if self.drop_duplicates else ("drop_duplicates", "distance", "against"):
            del stated[name]
        return stated

    def __post_init__(self) -> None:
        if self.samples_per_shard < 1:
            raise PrepError(f"--samples-per-shard {self.samples_per_shard}: give 1 or more")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ShardParameters":
        """Return the parameters that a manifest or a class table stores.

        Raises:
            KeyError, TypeError, ValueError: one is missing or unknown.
        """
        if not (is_count(stored["samples_per_shard"]) and stored["samples_per_shard"]):
            raise ValueError(f"samples_per_shard is {stored['samples_per_shard']!r:.60}")
        parameters = cls(**{**stored, "parents": ParentRule(stored["parents"])})
        words = (parameters.drop_duplicates, parameters.against)
        if not (all(isinstance(word, str) for word in words) and is_count(parameters.distance)):
            raise ValueError(f"drop_duplicates is {parameters.drop_duplicates!r:.60}")
        return parameters


def write_shards(
    work: Location,
    output: Location,
    parameters: ShardParameters,
    workers: Workers,
    against: Sequence[Location] | None = (),
) -> Manifest:
    """Write the shards, the tables and, last of all, the manifest of a dataset; return the manifest.

    Resumes a run that was killed. Every file is a function of the dump and the parameters alone.

    Args:
        work: the work folder, with `resize` done.
        output: the dataset's folder, created if it does not exist.
        parameters: the user's choices.
        workers: who does it; each worker holds one shard in memory.
        against: the other sets in which twins are looked for; None if they are not at hand, which does if they were
            at hand before.

    Raises:
        PrepError: an earlier stage is missing, or `output` holds something else.
    """
    stages = _finished_stages(work)
    sets = None if against is None else [open_set(location) for location in against]
    parameters = _settled(work, parameters, sets)
    identity = _run_identity(stages, parameters)
    manifest = _finished(output, identity)
    if manifest is not None:
        return manifest
    raw = stages["filter"].notes.get("raw", "")
    require_output_place(locate(raw) if raw and "://" not in raw else None, work, output)
    with writing(work, output):
        _begin(output, identity)
        dropped = settle_drops(work, parameters.drop, sets, workers)
        plan = plan_shards(work, output, parameters.samples_per_shard, dropped)
        todo = [task for task in plan.tasks if not task.is_complete()]
        total = sum(map(len, plan.orders.values()))
        with Progress(STAGE, "image", total, total - sum(len(task.samples) for task in todo)) as bar:
            for samples in run_tasks(write_shard, todo, workers):
                bar.update(samples)
        plan.write_sample_table()
        manifest = describe(work, output, stages, parameters.recorded(), plan)
        (output / MANIFEST).write_bytes(manifest.to_json())
    return manifest


def require_same_output(work: Location, output: Location, resize: ResizeParameters, shard: ShardParameters) -> None:
    """Refuse a dataset in `output`, finished or begun, that other choices made: before images are resized for it.

    What is dropped depends on other sets of images, so `write_shards` alone compares that.

    Args:
        work: the work folder, with `filter` and `split` done.
        output: the dataset's folder.
        resize: the user's choices for `resize`, which may have been done.
        shard: those for `shard`.

    Raises:
        PrepError: another run made the dataset; it names the first difference.
    """
    planned = StageRecord("resize", asdict(resize), dict(decoder_versions(resize.format)), counts={})
    stages = {stage: required(work, stage) for stage in ("filter", "split")}
    stages["resize"] = read_record(work, "resize") or planned
    identity = _run_identity(stages, replace(shard, parents=require_rule(work, shard.parents)))
    if shard.drop_duplicates:
        del identity[STAGE]
    begun = output / UNFINISHED / BEGUN
    if (output / MANIFEST).exists():
        _require_made_by(output, read_manifest(output), identity)
    elif begun.exists():
        _require_same_run(output, _read_begun(begun), identity)


def is_sharded(work: Location, output: Location, parameters: ShardParameters, against: Sequence[Location]) -> bool:
    """Return whether there is a finished dataset in `output`, of which `require_same_output` has found nothing else.

    Raises:
        PrepError: other choices for `shard` made it; it names the first difference.
    """
    if not (output / MANIFEST).exists():
        return False
    now = _settled(work, parameters, [open_set(location) for location in against])
    _require_same_run(output, read_manifest(output).parameters, {STAGE: now.recorded()})
    return True


def _settled(
    work: Location, parameters: ShardParameters, sets: Sequence[ListedSet | PreparedSet] | None
) -> ShardParameters:
    """Return the parameters with the rule that the taxonomy allows, and the identities of the other sets."""
    parameters = replace(parameters, parents=require_rule(work, parameters.parents))
    return replace(parameters, against=",".join(images.identity for images in sets)) if sets else parameters


def require_made_from(work: Location, output: Location, manifest: Manifest) -> ShardParameters:
    """Return the parameters of `shard` that a dataset was made with, once it is clear that `work` made it.

    Raises:
        PrepError: a stage is missing, or another run made the dataset; it names the first difference.
    """
    parameters = ShardParameters.of(manifest.parameters[STAGE])
    _require_made_by(output, manifest, _run_identity(_finished_stages(work), parameters))
    return parameters


def _finished_stages(work: Location) -> dict[str, StageRecord]:
    """Return the records of the earlier stages, all of which must be there."""
    return {stage: required(work, stage) for stage in ("filter", "split", "resize")}


def _run_identity(stages: Mapping[str, StageRecord], parameters: ShardParameters) -> dict[str, Any]:
    """Return what distinguishes this dataset from others: source, parameters of all stages, decoders."""
    return {
        "source": dict(stages["filter"].inputs),
        **{stage: dict(record.parameters) for stage, record in stages.items()},
        STAGE: parameters.recorded(),
        "decoders": {k: v for k, v in stages["resize"].inputs.items() if not k.endswith(".parquet")},
    }


def _require_made_by(output: Location, manifest: Manifest, identity: Mapping[str, Any]) -> None:
    source = {name: value for name, value in manifest.source.items() if name != "name"}
    decoders = {name: manifest.versions.get(name) for name in identity["decoders"]}
    _require_same_run(output, {"source": source, **manifest.parameters, "decoders": decoders}, identity)


def _finished(output: Location, identity: Mapping[str, Any]) -> Manifest | None:
    """Return the manifest of a dataset that this run has completed before, None if there is work to do."""
    if not (output / MANIFEST).exists():
        return None
    manifest = read_manifest(output)
    _require_made_by(output, manifest, identity)
    (output / UNFINISHED).delete_folder()
    return manifest


def _begin(output: Location, identity: Mapping[str, Any]) -> None:
    """Create the folders, or make sure that the run that began there is the same."""
    begun = output / UNFINISHED / BEGUN
    if begun.exists():
        _require_same_run(output, _read_begun(begun), identity)
    else:
        begun.write_bytes(json.dumps(identity).encode())
    for folder in (output, output / UNFINISHED, *(output / split for split in SPLITS)):
        folder.make_folder()
        folder.remove_temporaries()


def _read_begun(begun: Location) -> Mapping[str, Any]:
    try:
        before = parse_json(read_json_bytes(begun))
        require_mapping("it", before, dict)
    except ValueError as error:
        raise PrepError(f"{begun.text} is not ours ({error}); delete the folder {begun.parent.parent.text}") from error
    return before


def _require_same_run(output: Location, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for stage in now:
        require_same(f"{output.text}: a dataset was made there by {stage}", before.get(stage, {}), now[stage])
