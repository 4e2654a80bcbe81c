"""Stage 4, shard: merge the sorted parts into globally shuffled WebDataset shards, and describe the dataset."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.parquet as pq

from in21k.prep.describe import describe
from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers, run_tasks
from in21k.prep.merge import MergeOrder, merge_orders
from in21k.prep.parts import count_parts, part_path
from in21k.prep.progress import progress_bar
from in21k.prep.stages import PARTS, StageRecord, locked, require_same, required
from in21k.prep.tables import read_table, table_writer
from in21k.shards_manifest.files import Location
from in21k.shards_manifest.manifest import MANIFEST, SAMPLES, SPLITS, Manifest, Shard, read_manifest
from in21k.shards_manifest.samples import SCHEMA
from in21k.shards_manifest.tar import END, content_size
from in21k.tree.parents import ParentRule

STAGE = "shard"
UNFINISHED = ".unfinished"
"""The folder in a dataset that holds what a run has done so far; gone when the dataset is complete."""


@dataclass(frozen=True)
class ShardParameters:
    """What `shard` lets its user choose."""

    samples_per_shard: int = 10_000
    parents: ParentRule = ParentRule.PUBLISHED
    """Which hypernym is the parent, in the hierarchy table."""


@dataclass(frozen=True, eq=False)
class ShardTask:
    """A shard to write."""

    parts: Location
    output: Location
    split: str
    number: int
    samples: MergeOrder

    @property
    def name(self) -> str:
        """The shard's path."""
        return self.path

    @property
    def path(self) -> str:
        """The shard's path relative to the dataset."""
        return f"{self.split}/in21k-{self.split}-{self.number:06d}.tar"

    @property
    def record(self) -> Location:
        """The file whose presence says that the shard is complete."""
        return self.output / UNFINISHED / f"{self._stem}.json"

    @property
    def rows(self) -> Location:
        """The file that holds the shard's rows of the sample table."""
        return self.output / UNFINISHED / f"{self._stem}.parquet"

    @property
    def _stem(self) -> str:
        return f"{self.split}-{self.number:06d}"


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
        todo = [task for task in tasks if not _is_complete(task)]
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


def write_shard(task: ShardTask) -> int:
    """Write one shard with its rows of the sample table, and return its number of samples (a worker's task)."""
    digest, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    keys: list[str] = []
    offsets: list[int] = []
    image_bytes: list[int] = []
    position = 0
    with (task.output / task.path).write() as file:
        for sample in _merged(task):
            keys.append(sample[:100].split(b"\0", 1)[0].decode().partition(".")[0])
            offsets.append(position)
            image_bytes.append(content_size(sample))
            position += len(sample)
            digest.update(sample)
            md5.update(sample)
            file.write(sample)
        digest.update(END)
        md5.update(END)
        file.write(END)
    write_rows(task, keys, offsets, image_bytes)
    shard = Shard(task.path, len(keys), position + len(END), digest.hexdigest(), md5.hexdigest())
    task.record.write_bytes(json.dumps(asdict(shard)).encode())
    return len(keys)


def write_rows(task: ShardTask, keys: list[str], offsets: list[int], image_bytes: list[int]) -> None:
    """Write a shard's rows of the sample table."""
    count = len(task.samples)
    with table_writer(task.rows, SCHEMA) as table:
        table.extend(
            [task.split] * count,
            [task.number] * count,
            keys,
            task.samples.class_indices.tolist(),
            offsets,
            task.samples.sizes.tolist(),
            image_bytes,
        )


def _merged(task: ShardTask) -> Iterator[bytes]:
    """Yield the bytes of a shard's samples in order: one range read a part, held until the shard is written."""
    ranges: dict[int, tuple[int, bytes]] = {}
    for part, offset, size in task.samples.ranges():
        path = part_path(task.parts, part, ".tar")
        reader = path.open_ranges()
        ranges[part] = offset, reader.read(offset, size)
        reader.close()
        if len(ranges[part][1]) < size:
            raise PrepError(
                f"{path.text} ends before byte {offset + size}; delete it with its .parquet and resize again"
            )
    samples = task.samples
    for part, offset, size in zip(
        samples.parts.tolist(), samples.offsets.tolist(), samples.sizes.tolist(), strict=True
    ):
        start, data = ranges[part]
        yield data[offset - start : offset - start + size]


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


def shard_tasks(
    parts: Location, output: Location, orders: Mapping[str, MergeOrder], samples_per_shard: int
) -> Iterator[ShardTask]:
    """Yield the shards of a dataset, those of train first, in order."""
    for split in SPLITS:
        for number, start in enumerate(range(0, len(orders[split]), samples_per_shard)):
            yield ShardTask(parts, output, split, number, orders[split].slice(start, start + samples_per_shard))


def _is_complete(task: ShardTask) -> bool:
    return task.record.exists() and (task.output / task.path).size() == shard_record(task).bytes


def shard_record(task: ShardTask) -> Shard:
    """Return what the manifest will say of a complete shard."""
    return Shard(**json.loads(task.record.read_bytes()))


def write_sample_table(output: Location, tasks: list[ShardTask]) -> None:
    """Put the shards' rows together, a row group a shard."""
    with (output / SAMPLES).write() as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for task in tasks:
            writer.write_table(read_table(task.rows, schema=SCHEMA))
