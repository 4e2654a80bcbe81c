"""What it takes to open a dataset at full scale: CPU time and peak memory of each command that does.

    python bench/bench_scale.py [--samples 11800000] [--scratch FOLDER]

The dataset has full tables, with unlike keys in the order of the shuffle, but one shard of tiny images, to which all
shard names are hard links. No command here notices that its keys are those of no table, since none reads more than a
few samples. The trainer, which looks at labels, has one whose rows are in the order of the shard. Needs 3 GB of disk at
full size.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image
from processes import measure, prep, python

from in21k.prep.images.encode import encode_jpeg
from in21k.prep.records import DATASET_CLASSES_SCHEMA, rejects_table
from in21k.shards_manifest.key_hashes import SHUFFLE, keyed_hash
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, MANIFEST, REJECTS, SAMPLES, Manifest, Shard, TableFile
from in21k.shards_manifest.sample_table import SCHEMA
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.tar import END, member_bytes
from in21k.tree.class_lists import PublishedList, class_list_digest, published_class_list
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, wordnet_hierarchy

PER_SHARD = 10_000
"""Samples of a shard, one of each class."""
VAL_PER_CLASS = 50
SIZE = 16
"""Side of the images."""
MEMORY_TARGET, CPU_TARGET = 1e9, 30.0
"""Of `verify --quick`, in bytes and seconds."""


def main() -> None:
    """Make the dataset, run each command on it, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=11_800_000)
    parser.add_argument("--scratch", type=Path, default=None, help="a folder on a file system with hard links")
    parser.add_argument("--first-batch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--key", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.image:
        image_of(options.image, options.key)
        return
    if options.first_batch:
        first_batch(options.first_batch)
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        dataset = Path(scratch) / "dataset"
        shards = max(options.samples // PER_SHARD, VAL_PER_CLASS + 1)
        for folder in (dataset, dataset.with_name("labeled")):
            make_dataset(folder, shards, shuffled=folder == dataset)
        print(f"{shards * PER_SHARD:,} samples in {shards:,} shards\n")
        print("| command | seconds | CPU s | peak MB |")
        print("|---|---|---|---|")
        for name, command in commands(dataset, Path(scratch)).items():
            usage = measure(command)
            print(
                f"| {name} | {usage.seconds:.1f} | {usage.cpu_seconds:.1f} | {usage.peak_bytes / 1e6:,.0f} |",
                flush=True,
            )
            if name == "`verify --quick`" and not (usage.peak_bytes < MEMORY_TARGET and usage.cpu_seconds < CPU_TARGET):
                print(f"  missed: {MEMORY_TARGET / 1e6:,.0f} MB and {CPU_TARGET:.0f} CPU s", file=sys.stderr)


def commands(dataset: Path, scratch: Path) -> dict[str, list[str]]:
    """Return the commands to measure, by their names in the table."""
    return {
        "`sidecars`": prep("sidecars", dataset),
        "`verify --quick`": prep("verify", dataset, "--quick"),
        "`inspect`": prep("inspect", dataset),
        "`inspect --class`": prep("inspect", dataset, "--class", "5000"),
        "`inspect --key`, in the last shard": prep("inspect", dataset, "--key", last_key(dataset)),
        "`rejects`": prep("rejects", dataset),
        "an image by its key, in Python": python(__file__, "--image", dataset, "--key", last_key(dataset)),
        "a key that is nowhere, in Python": python(__file__, "--image", dataset, "--key", "n00000000_1"),
        "`report`": prep("report", dataset, "--output", scratch / "report"),
        "the trainer's first batch of 256": python(__file__, "--first-batch", dataset.with_name("labeled")),
    }


def last_key(dataset: Path) -> str:
    """Return the last key of the sample table."""
    file = pq.ParquetFile(dataset / SAMPLES)
    return str(file.read_row_group(file.num_row_groups - 1, columns=["key"])["key"][-1])


def image_of(folder: Path, key: str) -> None:
    """Look for an image by its key; that the shard holds another one there is as it must be, here."""
    import in21k
    from in21k.shards_manifest.errors import DatasetError

    try:
        in21k.open(folder).image(key)
    except DatasetError as error:
        print(error)


def first_batch(folder: Path) -> None:
    """Open a dataset as the trainer does, and draw the first batch of its first epoch."""
    from in21k.train.data.partition import TrainPlan
    from in21k.train.data.prepared.dataset import open_dataset
    from in21k.train.stream.loader import open_stream
    from in21k.train.stream.source import StreamSource

    dataset = open_dataset(str(folder))
    source = StreamSource(dataset.reader("train"), dataset.decoding())
    plan = TrainPlan(dataset.shard_lengths("train"), seed=0, epochs=80, global_batch=256)
    print(next(iter(open_stream(source, plan, workers=1))).images.shape)


def make_dataset(folder: Path, shards: int, *, shuffled: bool) -> None:
    """Write a dataset with so many shards, without sidecars; its keys in the shuffle's order, or its labels right."""
    wnids = published_class_list(PublishedList.FALL11)[:PER_SHARD]
    splits = {"train": shards - VAL_PER_CLASS, "val": VAL_PER_CLASS}
    folder.mkdir()
    rows, content = one_shard(wnids)
    (folder / "shard").write_bytes(content)
    digest = locate(folder / "shard").sha256()
    listed: dict[str, list[Shard]] = {}
    with pq.ParquetWriter(folder / SAMPLES, SCHEMA, compression="zstd") as writer:
        for split, count in splits.items():
            (folder / split).mkdir()
            keys, labels = keys_in_order(wnids, split, count)
            for number in range(count):
                path = f"{split}/in21k-{split}-{number:06d}.tar"
                (folder / path).hardlink_to(folder / "shard")
                shard = Shard(path=path, samples=PER_SHARD, bytes=len(content), sha256=digest)
                listed.setdefault(split, []).append(shard)
                here = slice(number * PER_SHARD, (number + 1) * PER_SHARD)
                named = {"key": keys[here], "class_index": labels[here]}
                if not shuffled:
                    named = {"key": pc.binary_join_element_wise(rows["key"], f"{split}{number}", "")}
                writer.write_table(rows_of({**rows, **named}, split, number))
    (folder / "shard").unlink()
    write_tables(folder, wnids, splits)
    manifest = Manifest(
        classes=len(wnids),
        class_list_sha256=class_list_digest(wnids),
        source={"name": "bench_scale"},
        parameters={
            "filter": {"min_images": 500},
            "split": {"val_per_class": VAL_PER_CLASS, "seed": 0},
            "resize": {"size": SIZE},
        },
        counts={split: count * PER_SHARD for split, count in splits.items()},
        versions={"in21k": "0"},
        splits={split: tuple(found) for split, found in listed.items()},
        tables={name: table_file(folder / name) for name in (HIERARCHY, CLASSES, SAMPLES, REJECTS)},
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())


def one_shard(wnids: list[str]) -> tuple[dict[str, pa.Array], bytes]:
    """Return the columns of a shard's rows but its split and number, with the keys' beginnings, and its bytes."""
    order = np.random.default_rng(0).permutation(PER_SHARD)
    image = encode_jpeg(Image.new("RGB", (SIZE, SIZE), (90, 120, 150)), quality=90)
    samples = [
        member_bytes(f"{wnids[label]}_0.jpg", image) + member_bytes(f"{wnids[label]}_0.cls", b"%d" % label)
        for label in order.tolist()
    ]
    sizes = np.array([len(sample) for sample in samples])
    rows = {
        "key": pa.array([f"{wnids[label]}_" for label in order.tolist()]),
        "class_index": pa.array(order, pa.int32()),
        "offset": pa.array(np.cumsum(sizes) - sizes, pa.int64()),
        "size": pa.array(sizes, pa.int32()),
        "image_bytes": pa.array(np.full(PER_SHARD, len(image)), pa.int32()),
    }
    return rows, b"".join(samples) + END


def keys_in_order(wnids: list[str], split: str, shards: int) -> tuple[pa.Array, pa.Array]:
    """Return the keys of a split in the order of the shuffle, and their classes: of each class one per shard."""
    keys = [f"{wnid}_{split}{number}" for wnid in wnids for number in range(shards)]
    order = np.argsort(np.array([keyed_hash(0, SHUFFLE, key) for key in keys], np.uint64))
    return pa.array(keys).take(pa.array(order)), pa.array(order // shards, pa.int32())


def rows_of(rows: dict[str, pa.Array], split: str, number: int) -> pa.Table:
    """Return a shard's rows of the sample table."""
    columns: dict[str, Any] = {
        "split": pa.array([split] * PER_SHARD).dictionary_encode().cast(SCHEMA.field("split").type),
        "shard": pa.array(np.full(PER_SHARD, number), pa.int32()),
        **rows,
    }
    return pa.Table.from_arrays([columns[field.name] for field in SCHEMA], schema=SCHEMA)


def write_tables(folder: Path, wnids: list[str], splits: dict[str, int]) -> None:
    """Write the other tables: every class has one sample in each shard."""
    counts = {split: np.full(len(wnids), count, np.int64) for split, count in splits.items()}
    rule = ParentRule.PUBLISHED
    hierarchy = hierarchy_table(wordnet_hierarchy(wnids, rule), rule, counts["train"], counts["val"])
    rows = [
        [*wnids],
        counts["train"] + counts["val"],
        [True] * len(wnids),
        ["kept"] * len(wnids),
        range(len(wnids)),
        hierarchy["name"].to_pylist(),
        counts["train"],
        counts["val"],
        [0] * len(wnids),
        [None] * len(wnids),
    ]
    arrays = [pa.array(row, field.type) for row, field in zip(rows, DATASET_CLASSES_SCHEMA, strict=True)]
    tables = {
        HIERARCHY: hierarchy,
        CLASSES: pa.Table.from_arrays(arrays, schema=DATASET_CLASSES_SCHEMA),
        REJECTS: rejects_table([]),
    }
    for name, table in tables.items():
        pq.write_table(table, folder / name, compression="zstd")


def table_file(path: Path) -> TableFile:
    """Return the manifest's entry for a table."""
    return TableFile(pq.read_metadata(path).num_rows, path.stat().st_size, locate(path).sha256())


if __name__ == "__main__":
    main()
