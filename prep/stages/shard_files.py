"""The files of one shard: its tar, its rows of the sample table, its record."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import pyarrow.parquet as pq

from in21k.prep.errors import PrepError
from in21k.prep.stages.merge import MergeOrder
from in21k.prep.stages.parts import part_path
from in21k.prep.tables import read_table, table_writer
from in21k.shards_manifest.manifest import SAMPLES, SPLITS, Shard
from in21k.shards_manifest.sample_table import SCHEMA
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import END, content_size

UNFINISHED = ".unfinished"
"""The folder in a dataset that holds what a run has done so far; gone when the dataset is complete."""


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


def shard_tasks(
    parts: Location, output: Location, orders: Mapping[str, MergeOrder], samples_per_shard: int
) -> Iterator[ShardTask]:
    """Yield the shards of a dataset, those of train first, in order."""
    for split in SPLITS:
        for number, start in enumerate(range(0, len(orders[split]), samples_per_shard)):
            yield ShardTask(parts, output, split, number, orders[split].slice(start, start + samples_per_shard))


def is_complete(task: ShardTask) -> bool:
    """Return whether a shard and its record are there, and the shard is as long as the record says."""
    return task.record.exists() and (task.output / task.path).size() == shard_record(task).bytes


def shard_record(task: ShardTask) -> Shard:
    """Return what the manifest will say of a complete shard."""
    return Shard(**json.loads(task.record.read_bytes()))


def write_sample_table(output: Location, tasks: list[ShardTask]) -> None:
    """Put the shards' rows together, a row group a shard."""
    with (output / SAMPLES).write() as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for task in tasks:
            writer.write_table(read_table(task.rows, schema=SCHEMA))
