"""Ways to break a prepared dataset: one for each thing that `verify` can find."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.manifest import MANIFEST, SAMPLES, Manifest, TableFile, read_manifest
from in21k.shards_manifest.sidecars import rewrite_sidecars
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.tar import END, member_bytes, padded, read_members

Members = list[tuple[str, bytes]]


def reseal(folder: Path, **changes) -> None:
    """Write a manifest that agrees with the files as they are now, so that deeper checks have to find what is wrong."""
    manifest = read_manifest(locate(folder))
    splits = {
        split: tuple(
            dataclasses.replace(shard, bytes=(folder / shard.path).stat().st_size, sha256=sha256(folder / shard.path))
            for shard in shards
        )
        for split, shards in manifest.splits.items()
    }
    tables = {
        name: TableFile(table.rows, (folder / name).stat().st_size, sha256(folder / name))
        for name, table in manifest.tables.items()
    }
    write_manifest(folder, dataclasses.replace(manifest, **({"splits": splits, "tables": tables} | changes)))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_bytes(manifest.to_json())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def change_table(folder: Path, name: str, change: Callable[[dict], None], group: int = 0) -> None:
    """Change the columns of a table, given as lists, in one of its row groups."""
    file = pq.ParquetFile(folder / name)
    groups = [file.read_row_group(at) for at in range(file.num_row_groups)]
    columns = groups[group].to_pydict()
    change(columns)
    schema = file.schema_arrow
    groups[group] = pa.Table.from_arrays([pa.array(columns[f.name], f.type) for f in schema], schema=schema)
    with pq.ParquetWriter(folder / name, schema, compression="zstd") as writer:
        for table in groups:
            writer.write_table(table)


def change_samples(change: Callable[[dict], None], group: int = 0) -> Callable[[Path], None]:
    """Return what changes a shard's rows of the sample table and seals that."""

    def damage(folder: Path) -> None:
        change_table(folder, SAMPLES, change, group)
        reseal(folder)

    return damage


def members(path: Path) -> Members:
    content = path.read_bytes()
    found = read_members(lambda offset, size: content[offset : offset + size], 0, len(content))
    return [(member.name, content[member.offset : member.offset + member.size]) for member in found]


def change_shard(path: str, change: Callable[[Members], Members | None]) -> Callable[[Path], None]:
    """Return what writes a shard anew with other members and seals that."""

    def damage(folder: Path) -> None:
        before = members(folder / path)
        after = change(before) or before
        (folder / path).write_bytes(b"".join(member_bytes(*member) for member in after) + END)
        reseal(folder)

    return damage


def with_first_image(folder: Path, data: bytes) -> None:
    """Replace the first training sample's image, and let all that speaks of it follow: table, manifest, sidecars."""
    shard = read_manifest(locate(folder)).splits["train"][0].path
    change_shard(shard, lambda old: [(old[0][0], data), *old[1:]])(folder)
    images = members(folder / shard)[::2]

    def follow(columns: dict) -> None:
        columns["image_bytes"] = [len(image) for _, image in images]
        columns["size"] = [512 + padded(size) + 1024 for size in columns["image_bytes"]]
        columns["offset"] = [sum(columns["size"][:number]) for number in range(len(images))]

    change_samples(follow)(folder)
    rewrite_sidecars(locate(folder))
