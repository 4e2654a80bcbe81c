"""A dump whose classes lie mixed over 2,000 shards: how fast it is listed and planned, and how much of it is read.

    python bench/bench_sources.py [--members 2000000] [--shards 2000] [--scratch FOLDER]

The shards are as timm publishes them (an image, `.cls` and `.json` under each key); the images' bodies are holes in
sparse files. Needs 8 KB an image, of disk or of memory.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
from processes import measure, prep, python

from in21k.prep.raw.open import open_source
from in21k.prep.raw.read_ahead import read_ahead
from in21k.prep.stages.part_plan import plan_parts
from in21k.prep.stages.record import PARTS, SPLIT
from in21k.prep.tables import plain
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.tar import END, member_bytes, member_header, padded
from in21k.tree.class_lists import PublishedList, published_class_list

MEMBERS_OF_A_SAMPLE = 3
BODY = 109_000
"""Bytes of an image, which take no place here."""
RATE_TARGET, MEMORY_TARGET, READ_TARGET = 100_000, 1 << 30, 1.1


def main() -> None:
    """Make the dump, time `filter` and `split`, read all images as `resize` would, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--members", type=int, default=2_000_000)
    parser.add_argument("--shards", type=int, default=2_000)
    parser.add_argument("--scratch", type=Path, default=None, help="a folder on a file system with sparse files")
    parser.add_argument("--read", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read_all(*options.read)))
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        raw, work = Path(scratch) / "hub", Path(scratch) / "work"
        samples = make_shards(raw, options.members // MEMBERS_OF_A_SAMPLE, options.shards)
        report(raw, work, samples, options.shards)


def make_shards(folder: Path, samples: int, shards: int) -> int:
    """Write the shards and return the number of samples."""
    folder.mkdir()
    wnids = published_class_list(PublishedList.FALL11)
    chance = random.Random(0)
    classes = [number % len(wnids) for number in range(samples // shards * shards)]
    chance.shuffle(classes)
    each = len(classes) // shards
    for shard in range(shards):
        chosen = range(shard * each, shard * each + each)
        with (folder / f"imagenet22k-train-{shard:04d}.tar").open("wb", buffering=0) as file:
            position = 0
            for number in chosen:
                position = write_sample(file.fileno(), position, wnids[classes[number]], classes[number], number)
            os.ftruncate(file.fileno(), position + len(END))
    return len(classes)


def write_sample(descriptor: int, position: int, wnid: str, label: int, number: int) -> int:
    """Write a sample whose image is a hole, and return where it ends."""
    key, size = f"{wnid}_{number}", BODY + number % 512
    os.pwrite(descriptor, member_header(f"{key}.jpg", size), position)
    position += 512 + padded(size)
    described = json.dumps({"label": label, "class_name": wnid, "width": 500, "height": 375}).encode()
    rest = member_bytes(f"{key}.cls", str(label).encode()) + member_bytes(f"{key}.json", described)
    os.pwrite(descriptor, rest, position)
    return position + len(rest)


def read_all(raw: Path, work: Path) -> dict[str, float]:
    """Read the images of each part as `resize` would, without decoding; return bytes read over those of the dump."""
    (work / PARTS).mkdir()
    parts = plan_parts(locate(work), 0, {"size": 224}, {}, 600 << 20, mixed=True)
    before = bytes_read()
    layout = json.loads((work / "filter.json").read_bytes())["inputs"]["layout"]
    table, images = pq.ParquetFile(work / SPLIT), 0
    tables = bytes_read() - before
    for part in parts:
        begun = bytes_read()
        rows = plain(table.read_row_groups(list(part.row_groups))).to_pylist()
        tables += bytes_read() - begun
        with closing(open_source(locate(raw), locate(work), layout)) as source:
            images += sum(1 for _ in read_ahead(source, rows))
    whole = sum(path.stat().st_size for path in raw.iterdir())
    return {"images": images, "parts": len(parts), "ratio": (bytes_read() - before - tables) / whole}


def bytes_read() -> int:
    """Return the bytes that this process has asked the system for so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


def row(name: str, seconds: float, cpu_seconds: float, members: int, peak: int) -> str:
    """Return a row of the table."""
    return f"| {name} | {seconds:.1f} | {cpu_seconds:.1f} | {members / seconds:,.0f} | {peak / 1e6:,.0f} |"


def report(raw: Path, work: Path, samples: int, shards: int) -> None:
    """Run the stages and print the table."""
    members = samples * MEMBERS_OF_A_SAMPLE
    size = sum(path.stat().st_size for path in raw.iterdir())
    print(f"{members:,} members in {shards:,} shards, {size / 1e9:,.0f} GB\n")
    listed = measure(prep("filter", raw, work, "--min-images", 1))
    planned = measure(prep("split", work, "--val-per-class", 2))
    read = measure(python(__file__, "--read", raw, work))
    found = json.loads(read.output)
    seconds = listed.seconds + planned.seconds
    print("| step | seconds | CPU s | members per second | peak MB |")
    print("|---|---|---|---|---|")
    for name, usage in (("filter", listed), ("split", planned)):
        print(row(name, usage.seconds, usage.cpu_seconds, members, usage.peak_bytes))
    peak = max(listed.peak_bytes, planned.peak_bytes)
    print(row("both", seconds, listed.cpu_seconds + planned.cpu_seconds, members, peak))
    print(f"\n{found['images']:,} images read in {found['parts']} parts: {found['ratio']:.3f} of the dump's bytes")
    missed = [
        members / seconds < RATE_TARGET and f"{RATE_TARGET:,} members per second",
        peak >= MEMORY_TARGET and "1 GiB of memory",
        found["ratio"] > READ_TARGET and f"{READ_TARGET} of the dump's bytes",
    ]
    for target in filter(None, missed):
        print(f"MISSED: {target}")
    sys.exit(any(missed))


if __name__ == "__main__":
    main()
