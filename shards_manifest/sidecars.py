"""Sidecars: the files that other readers want beside the shards, generated from the manifest and its tables.

No shard is read to write them: all that DALI's index holds is where each member is, which `samples.parquet` says.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from in21k.shards_manifest.datasheet import datasheet
from in21k.shards_manifest.errors import DatasetError, escaped
from in21k.shards_manifest.manifest import HIERARCHY, SPLITS, Manifest, read_manifest
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.sample_table import LABEL_SUFFIX, SampleTable
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import BLOCK, padded

TIMM_INFO = "_info.json"
CARD = "README.md"
SYNSETS = "synsets.txt"
CLASS_NAMES = "classes.txt"
CLASS_LISTS = (SYNSETS, CLASS_NAMES)
SIZES = "sizes.json"
DALI_VERSION = "v1.2"

_NAMES = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("wnid", "name")])


def sidecars(manifest: Manifest, classes: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    """Return all sidecars except DALI's indexes, by path relative to the dataset.

    Args:
        manifest: the dataset's manifest.
        classes: (wnid, name) of each class, in order of class index.
    """
    files = {
        TIMM_INFO: timm_info(manifest),
        SYNSETS: "".join(f"{escaped(wnid)}\n" for wnid, _ in classes).encode(),  # a class, a line, whatever its text
        CLASS_NAMES: "".join(f"{escaped(name)}\n" for _, name in classes).encode(),
        CARD: datasheet(manifest),
    }
    for split in filter(manifest.splits.get, SPLITS):
        files[f"{split}-wids.json"] = wids_index(manifest, split)
        for folder, sizes in shard_sizes(manifest, split).items():
            files[f"{folder}/{SIZES}"] = sizes
    return files


def all_sidecars(dataset: Location, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    """Yield every sidecar of a dataset, DALI's indexes included, as (relative path, content).

    Raises:
        DatasetError: `hierarchy.parquet` or `samples.parquet` cannot be read.
    """
    yield from sidecars(manifest, class_names(dataset)).items()
    table = SampleTable(dataset, manifest)
    for split in SPLITS:
        for number, shard in enumerate(manifest.splits[split]):
            yield dali_path(shard.path), dali_index(table.rows(split, number), manifest.images.suffix)


def write_sidecars(dataset: Location, manifest: Manifest) -> list[str]:
    """Write those sidecars that are missing or differ, and return their paths relative to the dataset.

    Args:
        dataset: the dataset, with its tables; the shards are not needed.
        manifest: its manifest.

    Raises:
        DatasetError: the tables cannot be read, or the file system refuses the write.
    """
    shards = [PurePosixPath(shard.path) for split in SPLITS for shard in manifest.splits[split]]
    dataset.require_own_folders(*sorted({str(path.parent) for path in shards}))
    written = []
    for name, content in all_sidecars(dataset, manifest):
        location = dataset / name
        if location.size() != len(content) or location.read_bytes() != content:
            location.write_bytes(content)
            written.append(name)
    return written


def rewrite_sidecars(dataset: Location) -> list[str]:
    """Write those sidecars of a finished dataset that are missing or differ, and return their paths.

    Raises:
        DatasetError: there is no finished dataset, or its tables cannot be read.
    """
    return write_sidecars(dataset, read_manifest(dataset))


def class_names(dataset: Location) -> list[tuple[str, str]]:
    """Return the wnid and name of each class, in order of class index.

    Raises:
        DatasetError: `hierarchy.parquet` cannot be read.
    """
    table = read_columns(dataset / HIERARCHY, _NAMES)
    return list(zip(table["wnid"].to_pylist(), table["name"].to_pylist(), strict=True))


def timm_info(manifest: Manifest) -> bytes:
    """Return timm's `_info.json`, which tells its WebDataset reader the splits, the shards and their lengths."""
    splits = {
        name: {
            "name": name,
            "num_samples": manifest.samples(name),
            "filenames": [shard.path for shard in shards],
            "shard_lengths": [shard.samples for shard in shards],
        }
        for name, shards in manifest.splits.items()
    }
    return _json({"splits": splits})


def wids_index(manifest: Manifest, split: str) -> bytes:
    """Return a split's wids index: its shards with lengths and MD5s, by path relative to the dataset."""
    shards = [
        {"url": shard.path, "nsamples": shard.samples, "filesize": shard.bytes}
        | ({"md5sum": shard.md5} if shard.md5 else {})
        for shard in manifest.splits[split]
    ]
    return _json({"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": f"in21k-{split}", "shardlist": shards})


def shard_sizes(manifest: Manifest, split: str) -> dict[str, bytes]:
    """Return open_clip's `sizes.json` for each folder with shards of a split: number of samples by file name."""
    folders: dict[str, dict[str, int]] = {}
    for shard in manifest.splits[split]:
        path = PurePosixPath(shard.path)
        folders.setdefault(str(path.parent), {})[path.name] = shard.samples
    return {folder: _json(sizes) for folder, sizes in folders.items()}


def dali_path(shard: str) -> str:
    """Return the path of a shard's DALI index."""
    return f"{shard.removesuffix('.tar')}.idx"


def dali_index(rows: pa.Table, suffix: str) -> bytes:
    """Return a shard's DALI index: extension, offset, size and name of each member, as DALI's `wds2idx` writes it.

    Args:
        rows: the shard's rows of the sample table.
        suffix: of the image members.

    Raises:
        DatasetError: the table is older than its column `image_bytes`.
    """
    if "image_bytes" not in rows.column_names:
        raise DatasetError("samples.parquet has no column image_bytes; write the dataset again with `in21k-prep shard`")
    image, label = suffix[1:], LABEL_SUFFIX[1:]
    lines = [f"{DALI_VERSION} {len(rows)}\n"]
    columns = (rows[name].to_pylist() for name in ("key", "class_index", "offset", "image_bytes"))
    for key, class_index, offset, size in zip(*columns, strict=True):
        at_image = offset + BLOCK
        at_label = at_image + padded(size) + BLOCK
        lines.append(
            f"{image} {at_image} {size} {key}{suffix} {label} {at_label} {len(str(class_index))} {key}{LABEL_SUFFIX}\n"
        )
    return "".join(lines).encode()


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"
