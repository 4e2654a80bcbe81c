"""The files of a dataset's shards: each one's tar, its rows of the sample table, and the record that it is complete."""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import accumulate

import pyarrow as pa

from in21k.prep.errors import PrepError
from in21k.prep.stages.drop import Dropped
from in21k.prep.stages.merge import MergeOrder, merge_orders
from in21k.prep.stages.parts import count_parts, damaged_part, discarding_damaged, read_samples
from in21k.prep.stages.record import PARTS, locked, required
from in21k.prep.stages.sample_rows import write_sample_rows
from in21k.prep.tables import table_writer
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.json_file import parse_json, read_json_bytes
from in21k.shards_manifest.manifest import SAMPLES, SHARD_SUFFIX, SPLITS, Shard
from in21k.shards_manifest.markers import UNFINISHED
from in21k.shards_manifest.sample_table import LABEL_SUFFIX, SCHEMA, require_plain_keys
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import BLOCK, END, TarError, content_size, read_members

_NAMED = 136
"""Bytes of a header up to the end of its name and size."""

_BLOCK = 1 << 18
"""Bytes of a shard that are written at a time."""

_UNCHECKED = -1
"""Stands for the checksum of a sample that has none."""


@dataclass(frozen=True, eq=False)
class ShardTask:
    """A shard, and the samples that it is written from."""

    parts: Location
    output: Location
    split: str
    number: int
    samples: MergeOrder

    @property
    def name(self) -> str:
        """What to call it in an error."""
        return self.path

    @property
    def path(self) -> str:
        """The shard's path relative to the dataset."""
        return f"{self.split}/in21k-{self.split}-{self.number:06d}{SHARD_SUFFIX}"

    @property
    def record(self) -> Location:
        """The file that is written once the shard is complete."""
        return self.output / UNFINISHED / f"{self._stem}.json"

    @property
    def rows(self) -> Location:
        """The file that holds the shard's rows of the sample table."""
        return self.output / UNFINISHED / f"{self._stem}.parquet"

    @property
    def _stem(self) -> str:
        return f"{self.split}-{self.number:06d}"

    def shard(self) -> Shard:
        """Return the manifest's entry for a shard that is complete.

        Raises:
            PrepError: its record is damaged.
        """
        try:
            return Shard.of(parse_json(read_json_bytes(self.record)))
        except (ValueError, TypeError) as error:
            raise PrepError(
                f"{self.record.text} is not the record of a shard ({one_line(error)}); delete it, "
                "and the shard is written again"
            ) from error

    def is_complete(self) -> bool:
        """Return whether the shard and its record exist, and the shard has the recorded length."""
        return self.record.exists() and (self.output / self.path).size() == self.shard().bytes


@dataclass(frozen=True, eq=False)
class ShardPlan:
    """All shards of a dataset."""

    parts: Location
    """The folder of the parts."""
    output: Location
    orders: Mapping[str, MergeOrder]
    """The samples of each split, in the order in which the shards hold them."""
    tasks: tuple[ShardTask, ...]
    """One per shard, train before val."""
    dropped: Dropped | None = None
    """What the parts hold and the shards do not."""

    def shards(self) -> dict[str, tuple[Shard, ...]]:
        """Return the manifest's entries by split; every shard must be complete."""
        return {split: tuple(task.shard() for task in self.tasks if task.split == split) for split in SPLITS}

    def write_sample_table(self, *, fingerprints: bool = True) -> None:
        """Write the dataset's sample table, a row group per shard; every shard's rows must exist.

        Args:
            fingerprints: whether to write those that the parts' tables hold.
        """
        shards = [(task.rows, task.samples) for task in self.tasks]
        write_sample_rows(self.output / SAMPLES, self.parts if fingerprints else None, shards)


def plan_shards(work: Location, output: Location, samples_per_shard: int, dropped: Dropped | None = None) -> ShardPlan:
    """Return which sample goes into which shard, a pure function of the parts and of what is dropped.

    Raises:
        PrepError: `resize` has not been done, or some of its parts are missing.
    """
    counts = required(work, "resize").counts if dropped is None else dropped.counts
    folder = work / PARTS
    parts = count_parts(folder)
    codes = () if dropped is None else (dropped.codes,)
    orders = merge_orders(work, parts, *codes) if parts else {}
    if any(split not in orders or len(orders[split]) != counts[split] for split in SPLITS):
        raise PrepError(
            f"{folder.text}: parts that `in21k-prep resize` wrote are missing; delete {work.text}/resize.json and run "
            "it again"
        )
    tasks = (
        ShardTask(
            parts=folder,
            output=output,
            split=split,
            number=number,
            samples=orders[split].slice(start, start + samples_per_shard),
        )
        for split in SPLITS
        for number, start in enumerate(range(0, len(orders[split]), samples_per_shard))
    )
    return ShardPlan(folder, output, orders, tuple(tasks), dropped)


@contextmanager
def writing(work: Location, output: Location) -> Iterator[None]:
    """Lock a dataset and its work folder within the block; delete the record of progress if the block succeeds.

    Raises:
        DatasetError: a folder of the dataset is a symbolic link.
        PrepError: another process holds one of them.
        DamagedPartError: a part turned out to be damaged, and was discarded.
    """
    output.require_own_folders(UNFINISHED, *SPLITS)
    with locked(work), locked(output / UNFINISHED), discarding_damaged(work):
        yield
        (output / UNFINISHED).delete_folder()


def reopen(output: Location) -> None:
    """Mark a dataset as unfinished, so that `write_shards` accepts its folder and continues there."""
    (output / UNFINISHED).make_folder()
    (output / UNFINISHED / "repair").write_bytes(b"")


def write_shard(task: ShardTask) -> int:
    """Write a shard, its rows of the sample table and its record; return its number of samples (a worker's task)."""
    digest, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    headers: list[bytes] = []
    length = 0
    with (task.output / task.path).write() as file:
        for block in _blocks(_merged(task, headers)):
            length += len(block)
            digest.update(block)
            md5.update(block)
            file.write(block)
    sizes = task.samples.sizes.tolist()
    keys = [header[:100].split(b"\0", 1)[0].decode().partition(".")[0] for header in headers]
    _write_rows(task, keys, list(accumulate(sizes[:-1], initial=0)), list(map(content_size, headers)))
    shard = Shard(path=task.path, samples=len(keys), bytes=length, sha256=digest.hexdigest(), md5=md5.hexdigest())
    task.record.write_bytes(json.dumps(asdict(shard)).encode())
    return len(keys)


def _blocks(samples: Iterable[memoryview]) -> Iterator[bytes]:
    """Yield the bytes of a shard in blocks of about _BLOCK: each call of a digest or a file costs as much as a CRC."""
    block: list[memoryview | bytes] = []
    size = 0
    for sample in samples:
        block.append(sample)
        size += len(sample)
        if size >= _BLOCK:
            yield b"".join(block)
            block, size = [], 0
    yield b"".join([*block, END])


def index_shard(task: ShardTask) -> None:
    """Write the rows of the sample table for a shard that exists and is sound.

    Raises:
        DatasetError: the shard is not a tar of the task's samples.
    """
    location = task.output / task.path
    content = location.read_bytes()
    try:
        members = list(read_members(lambda at, size: content[at : at + size], 0, len(content)))
    except TarError as error:
        raise PrepError(f"{location.text} is not a shard ({one_line(error)}); delete it and repair again") from error
    images, labels = members[::2], members[1::2]
    keys = [image.name.partition(".")[0] for image in images]
    offsets = [image.offset - BLOCK for image in images]
    samples = [content[start : label.end] for start, label in zip(offsets, labels, strict=False)]
    if (
        [label.name for label in labels] != [f"{key}{LABEL_SUFFIX}" for key in keys]
        or list(map(len, samples)) != task.samples.sizes.tolist()
        or not all(map(_is_sound, samples, task.samples.checksums.tolist()))
    ):
        raise PrepError(f"{location.text} does not hold the samples of its parts; delete it and repair again")
    _write_rows(task, keys, offsets, [image.size for image in images])


def _write_rows(task: ShardTask, keys: list[str], offsets: list[int], image_bytes: list[int]) -> None:
    count = len(task.samples)
    require_plain_keys(pa.chunked_array([keys], pa.string()), (task.output / task.path).text)
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


def _is_sound(sample: bytes | memoryview, checksum: int) -> bool:
    """Return whether a sample has the CRC-32 that `resize` stored, if it stored one."""
    return checksum == _UNCHECKED or checksum == zlib.crc32(sample)


def _merged(task: ShardTask, headers: list[bytes]) -> Iterator[memoryview]:
    """Yield the bytes of a shard's samples in order; reads a part's in few ranges and holds them all meanwhile.

    Args:
        task: the shard.
        headers: the beginning of each sample's first header is added to it.
    """
    runs, run_of = task.samples.runs()
    content = [memoryview(read_samples(task.parts, *run)) for run in runs]
    columns = (run_of, task.samples.offsets, task.samples.sizes, task.samples.checksums)
    for at, offset, size, checksum in zip(*(column.tolist() for column in columns), strict=True):
        start = offset - runs[at].offset
        sample = content[at][start : start + size]
        if not _is_sound(sample, checksum):
            raise damaged_part(
                task.parts, runs[at].part, f"the sample at byte {offset} has another CRC-32 than resize wrote"
            )
        headers.append(bytes(sample[:_NAMED]))
        yield sample
