"""A small prepared dataset made of real JPEGs and tars, without in21k.prep."""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from in21k.shards_manifest.manifest import HIERARCHY, MANIFEST, SAMPLES, Manifest, Shard
from in21k.shards_manifest.sample_table import SCHEMA
from in21k.shards_manifest.tar import END, member_bytes
from in21k.tree.class_lists import class_list_digest
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, wordnet_hierarchy, write_table

# animal > domestic animal > dog, animal > feline > cat, …: three levels, the first with two classes
WNIDS = sorted(
    [
        "n00015388",  # animal
        "n01317541",  # domestic animal
        "n02084071",  # dog
        "n02120997",  # feline
        "n02121620",  # cat
        "n01503061",  # bird
        "n01613294",  # eagle
        "n00021939",  # artifact
        "n04524313",  # vehicle
        "n02958343",  # car
    ]
)


@dataclass(frozen=True)
class Sample:
    key: str
    class_index: int
    image: bytes


def picture(class_index: int, number: int, size: int = 32) -> Image.Image:
    """A picture whose look follows its class: a colour, and stripes of a width."""
    random = np.random.default_rng([class_index, number])
    ramp = np.arange(size) // (1 + class_index % 4) % 2 * 60
    colour = np.random.default_rng(class_index).integers(30, 190, 3)
    pixels = colour[None, None, :] + ramp[:, None, None] + random.integers(-12, 13, (size, size, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def jpeg(class_index: int, number: int, size: int = 32) -> bytes:
    file = io.BytesIO()
    picture(class_index, number, size).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_dataset(
    folder: Path,
    train: Sequence[int] = (7, 40, 13, 31, 2),
    val: Sequence[int] = (11, 6),
    wnids: Sequence[str] = tuple(WNIDS),
    replace: Callable[[str, int, Sample], Sample] = lambda split, number, sample: sample,
    suffix: str = ".jpg",
    parameters: Mapping[str, Any] = MappingProxyType({"size": 32}),
) -> Path:
    """Write a prepared dataset with shards of these lengths; `replace` may change any sample."""
    hierarchy = wordnet_hierarchy(wnids)
    splits, groups = {}, []
    counts = {split: np.zeros(len(wnids), np.int64) for split in ("train", "val")}
    for split, lengths in (("train", train), ("val", val)):
        labels = np.random.default_rng(len(split)).integers(0, len(wnids), sum(lengths))
        number, shards = 0, []
        for shard, length in enumerate(lengths):
            rows, content = [], b""
            for _ in range(length):
                label = int(labels[number])
                made = Sample(f"{wnids[label]}_{split}{number}", label, jpeg(label, number + 1000 * (split == "val")))
                sample = replace(split, number, made)
                number += 1
                counts[split][label] += 1
                image = member_bytes(f"{sample.key}{suffix}", sample.image)
                data = image + member_bytes(f"{sample.key}.cls", str(sample.class_index).encode())
                rows.append((split, shard, sample.key, sample.class_index, len(content), len(data), len(sample.image)))
                content += data
            path = folder / split / f"in21k-{split}-{shard:06d}.tar"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content + END)
            digest = hashlib.sha256(content + END).hexdigest()
            shards.append(Shard(f"{split}/{path.name}", length, len(content + END), digest))
            groups.append(rows)
        splits[split] = tuple(shards)
    with pq.ParquetWriter(folder / SAMPLES, SCHEMA) as writer:
        for rows in groups:
            arrays = [
                pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
    write_table(hierarchy_table(hierarchy, ParentRule.PUBLISHED, counts["train"], counts["val"]), folder / HIERARCHY)
    manifest = Manifest(
        classes=len(wnids),
        class_list_sha256=class_list_digest(wnids),
        source={},
        parameters={"resize": dict(parameters)},
        counts={},
        versions={},
        splits=splits,
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())
    return folder
