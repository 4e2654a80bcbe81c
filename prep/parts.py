"""A part: the resized images of a group of classes, sorted by shuffle key, ready to be merged into shards.

A part's tar holds each sample's bytes exactly as the shards will, so that a shard is a merge of byte ranges.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.prep.records import PART_SCHEMA, REJECTS_SCHEMA, Reject, rejects_table
from in21k.prep.tables import write_table
from in21k.shards_manifest.files import atomic_path
from in21k.shards_manifest.samples import IMAGE_SUFFIX, LABEL_SUFFIX
from in21k.shards_manifest.tar import END, member_bytes


@dataclass(frozen=True, slots=True)
class ResizedImage:
    """A resized image and its place in the order of all."""

    split: str
    shuffle_key: int
    class_index: int
    rank: int
    sample: bytes
    """Its members as they lie in a shard: image and label, with headers and padding."""

    def order(self) -> tuple[str, int, int, int]:
        """Return what parts and shards are sorted by."""
        return (self.split, self.shuffle_key, self.class_index, self.rank)


def sample_bytes(key: str, image: bytes, class_index: int) -> bytes:
    """Return a sample's members as they lie in a shard."""
    return member_bytes(key + IMAGE_SUFFIX, image) + member_bytes(key + LABEL_SUFFIX, b"%d" % class_index)


def part_path(folder: Path, number: int, suffix: str) -> Path:
    """Return the path of a part's tar (`.tar`), table (`.parquet`) or rejects (`.rejects.parquet`)."""
    return folder / f"part-{number:05d}{suffix}"


def write_part(folder: Path, number: int, images: list[ResizedImage], rejects: list[Reject]) -> None:
    """Write a part; its table comes last and says that the rest is complete.

    Raises:
        DatasetError: the file system is full or refuses the write.
    """
    images.sort(key=ResizedImage.order)
    offsets = []
    with atomic_path(part_path(folder, number, ".tar")) as temporary, temporary.open("wb") as tar:
        for image in images:
            offsets.append(tar.tell())
            tar.write(image.sample)
        tar.write(END)
    write_table(part_path(folder, number, ".rejects.parquet"), rejects_table(rejects))
    columns = [
        [image.split for image in images],
        [image.shuffle_key for image in images],
        [image.class_index for image in images],
        [image.rank for image in images],
        offsets,
        [len(image.sample) for image in images],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, PART_SCHEMA, strict=True)]
    write_table(part_path(folder, number, ".parquet"), pa.Table.from_arrays(arrays, schema=PART_SCHEMA))


def is_complete(folder: Path, number: int) -> bool:
    """Return whether a part has been written whole."""
    return part_path(folder, number, ".parquet").exists()


def count_parts(folder: Path) -> int:
    """Return the number of parts in a folder, all of them complete."""
    return len(list(folder.glob("part-*[0-9].parquet")))


def read_part(folder: Path, number: int) -> pa.Table:
    """Return a part's table, with PART_SCHEMA."""
    return pq.read_table(part_path(folder, number, ".parquet"), schema=PART_SCHEMA)


def read_part_rejects(folder: Path, number: int) -> pa.Table:
    """Return a part's rejects, with REJECTS_SCHEMA."""
    return pq.read_table(part_path(folder, number, ".rejects.parquet"), schema=REJECTS_SCHEMA)
