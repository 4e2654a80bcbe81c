"""Images per second of CPU time: this loader against others on the same JPEG bytes, and against the targets.

    python bench/bench_loader.py [--dataset FOLDER] [--samples N] [--rounds N] [--s3] [--latency MS]
        [--only-s3 | --sizes]

Each loader runs in this process on one core, in interleaved rounds; the figures are medians. Without a prepared
dataset, one is made of generated pictures, whose JPEGs are easier to decode than photographs.
"""

import argparse
import hashlib
import io
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from loader_peers import AUGMENTING, BATCH, DECODING, Inputs, ours, rate
from loader_s3 import from_s3
from loader_sizes import at_sizes
from PIL import Image

from in21k.shards_manifest.manifest import MANIFEST, SAMPLES, Manifest, Shard
from in21k.shards_manifest.sample_table import SCHEMA
from in21k.shards_manifest.tar import END, member_bytes

SHARDS = 4
PACKAGES = ("torch", "torchvision", "timm", "webdataset", "litdata", "mosaicml-streaming", "simplejpeg")
PEERS = {  # row, target of in21k over it
    "timm ReaderWds": 2.5,
    "LitData + simplejpeg": 1.3,
    "MosaicML Streaming + simplejpeg": 1.9,
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="a prepared dataset; its images are repeated to make --samples")
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--s3", action="store_true", help="also read this loader's shards from a local S3 server")
    parser.add_argument("--only-s3", action="store_true", help="measure nothing but that")
    parser.add_argument("--latency", type=float, default=0, help="there, also add this many milliseconds per request")
    parser.add_argument("--sizes", action="store_true", help="only measure this loader at smaller image sizes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as scratch:
        inputs = make_inputs(Path(scratch), arguments.dataset, arguments.samples)
        print(f"{inputs.samples} images of {inputs.size} pixels, {len(inputs.shards)} shards; {versions()}\n")
        if arguments.only_s3:
            from_s3(inputs, arguments.rounds, arguments.latency)
            return
        at_sizes(inputs, arguments.rounds)
        if arguments.sizes:
            return
        decoding = compare("Shards to stacked uint8 batches", DECODING, inputs, arguments.rounds)
        augmenting = compare("With Cutout and RandAugment", AUGMENTING, inputs, arguments.rounds)
        targets(decoding, augmenting)
        starts(inputs)
        if arguments.s3:
            from_s3(inputs, arguments.rounds, arguments.latency)


def versions() -> str:
    """Return the versions of what is measured; that of PIL tells pillow-simd from Pillow."""
    found = [f"Python {platform.python_version()}", f"PIL {PIL.__version__}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def make_inputs(scratch: Path, dataset: Path | None, samples: int) -> Inputs:
    """Return the samples as a dataset of a few shards, with the images of a prepared dataset or generated ones."""
    files = read_images(dataset) if dataset else [drawn(number) for number in range(64)]
    with Image.open(io.BytesIO(files[0])) as image:
        size = image.width
    folder = scratch / "dataset"
    (folder / "train").mkdir(parents=True)
    records, groups = [], []
    for shard in range(SHARDS):
        rows, content = [], bytearray()
        for number in range(shard * samples // SHARDS, (shard + 1) * samples // SHARDS):
            key, image = f"n{number % 1000:08d}_{number}", files[number % len(files)]
            data = member_bytes(f"{key}.jpg", image) + member_bytes(f"{key}.cls", str(number % 1000).encode())
            rows.append(("train", shard, key, number % 1000, len(content), len(data), len(image)))
            content += data
        path = folder / f"train/in21k-train-{shard:06d}.tar"
        path.write_bytes(content + END)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        records.append(Shard(f"train/{path.name}", len(rows), path.stat().st_size, digest))
        groups.append(rows)
    with pq.ParquetWriter(folder / SAMPLES, SCHEMA) as writer:
        for rows in groups:
            columns = zip(zip(*rows, strict=True), SCHEMA, strict=True)
            writer.write_table(pa.Table.from_arrays([pa.array(c, f.type) for c, f in columns], schema=SCHEMA))
    splits = {"train": tuple(records), "val": ()}
    manifest = Manifest(
        classes=1000,
        class_list_sha256="",
        source={},
        parameters={"resize": {"size": size}},
        counts={},
        versions={},
        splits=splits,
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())
    write_info(folder, manifest)
    lengths = tuple(record.samples for record in records)
    shards = tuple(folder / record.path for record in records)
    return Inputs(dataset=folder, uri=str(folder), scratch=scratch, shards=shards, lengths=lengths, size=size)


def write_info(folder: Path, manifest: Manifest) -> None:
    """Write the file that timm reads."""
    import json

    records = manifest.splits["train"]
    names, counts = [record.path for record in records], [record.samples for record in records]
    info = {"name": "train", "num_samples": sum(counts), "filenames": names, "shard_lengths": counts}
    (folder / "_info.json").write_text(json.dumps({"splits": {"train": info}}))


def read_images(dataset: Path) -> list[bytes]:
    """Return the image files in the first shard of a prepared dataset."""
    import tarfile

    shard = sorted((dataset / "train").glob("*.tar"))[0]
    with tarfile.open(shard) as tar:
        return [tar.extractfile(member).read() for member in tar if member.name.endswith(".jpg")]  # type: ignore[union-attr]


def drawn(number: int, size: int = 224) -> bytes:
    """Return a JPEG of noise at several scales."""
    random = np.random.default_rng(number)
    pixels = np.zeros((size, size, 3))
    for scale in (4, 14, 56, 224):
        layer = Image.fromarray(random.integers(0, 256, (scale, scale, 3), np.uint8)).resize((size, size))
        pixels += np.asarray(layer) / (1 + scale / 40)
    file = io.BytesIO()
    Image.fromarray((pixels * 255 / pixels.max()).astype(np.uint8)).save(file, "JPEG", quality=95)
    return file.getvalue()


def compare(
    title: str, rows: dict[str, Callable[[Inputs], Iterator[Any]]], inputs: Inputs, rounds: int
) -> dict[str, float]:
    """Print a table of medians over interleaved rounds, and return them."""
    found: dict[str, list[float]] = {name: [] for name in rows}
    problems: dict[str, str] = {}
    for at in range(rounds + 1):
        for name, make in rows.items():
            if name in problems:
                continue
            try:
                figure = rate(make, inputs)
            except Exception as error:  # a missing or broken peer becomes a row that says so
                problems[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
                continue
            if at:  # the first round fills caches and writes the peers' formats
                found[name].append(figure)
    medians = {name: statistics.median(figures) for name, figures in found.items() if figures}
    print(f"| {title} | images/s | of in21k |\n|---|---|---|")
    for name in rows:
        if name in medians:
            print(f"| {name} | {medians[name]:,.0f} | {medians[name] / medians['in21k']:.2f} |")
        else:
            print(f"| {name} | {problems[name]} | |")
    print()
    return medians


def targets(decoding: dict[str, float], augmenting: dict[str, float]) -> None:
    """Print which targets were reached."""
    print("| in21k over | ratio | target | |\n|---|---|---|---|")
    rows = [("decode floor", decoding["in21k"] / decoding["decode floor (simplejpeg into one buffer)"], 0.90)]
    rows += [(name, decoding["in21k"] / decoding[name], least) for name, least in PEERS.items() if name in decoding]
    for name in ("webdataset, Pillow", "timm ReaderWds"):
        if name in augmenting:
            rows.append((f"{name}, augmented", augmenting["in21k"] / augmenting[name], 2.5))
    for name, ratio, least in rows:
        print(f"| {name} | {ratio:.2f} | {least:.2f} | {'reached' if ratio >= least else 'missed'} |")
    print()


def starts(inputs: Inputs) -> None:
    """Print the time to the first batch, at the start and in the middle of an epoch, and the loader's memory."""
    steps = inputs.samples // BATCH
    print(
        "| workers | first batch, s | first batch at 50 %, s | memory of all loader processes, MB |\n|---|---|---|---|"
    )
    for workers in (0, 1, 2):
        times = []
        for step in (0, steps // 2):
            began = time.perf_counter()
            stream = ours(inputs, workers=workers, start_step=step)
            next(stream)
            times.append(time.perf_counter() - began)
            for _ in stream:
                pass
        who = resource.RUSAGE_CHILDREN if workers else resource.RUSAGE_SELF
        peak = resource.getrusage(who).ru_maxrss / 1024
        note = "this process" if not workers else "the largest one"
        print(f"| {workers} | {times[0]:.2f} | {times[1]:.2f} | {peak:.0f} ({note}) |")
    print()


if __name__ == "__main__":
    main()
