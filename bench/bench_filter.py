"""Filter and split at the scale of fall11: 21,841 classes and a million images whose bodies are holes in a sparse file.

    python bench/bench_filter.py [--images 1000000] [--scratch FOLDER]

Needs 4 KB an image, since a header is a block of the file system: of memory, in /dev/shm, where it has room, so that
the page cache is what is measured; else of disk.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from processes import measure, prep, python

from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.tar import BLOCK, END, member_header, padded, read_members
from in21k.tree.wordnet import load_wordnet

CLASSES = 21_841
FULL = 14_197_122
"""Images of fall11."""
KEPT_CLASSES, KEPT_SHARE = 11_221, 0.87
"""Of fall11 with at least 500 images; and their share of the images."""
BODY = 109_000
"""Bytes of an image, which take no place here."""
HEADER_TARGET = 100_000
MEMORY_TARGET = 1 << 30


def main() -> None:
    """Make the dump, time the hop over its headers, `filter` and `split`, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--scratch", type=Path, default=None, help="a folder on a file system with sparse files")
    parser.add_argument("--hop", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hop:
        print(json.dumps(hop(options.hop)))
        return
    with tempfile.TemporaryDirectory(dir=options.scratch or roomy_memory(options.images)) as scratch:
        raw, work = Path(scratch) / "sparse.tar", Path(scratch) / "work"
        images = make_sparse_dump(raw, options.images)
        report(raw, work, images)


def roomy_memory(images: int) -> str | None:
    """Return the folder of shared memory where it has room for the dump, None for the usual temporary folder."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 6000 * images else None


def make_sparse_dump(path: Path, images: int) -> int:
    """Write a tar of class tars whose images are holes; return the number of images."""
    counts = list(class_sizes(images))
    position = 0
    with path.open("wb", buffering=0) as file:
        descriptor = file.fileno()
        for wnid, count in counts:
            inner = position + BLOCK
            for number in range(count):
                size = BODY + number % 512
                os.pwrite(descriptor, member_header(f"{wnid}_{number}.JPEG", size), inner)
                inner += BLOCK + padded(size)
            end = inner + len(END)
            os.pwrite(descriptor, member_header(f"{wnid}.tar", end - position - BLOCK), position)
            position = end
        os.ftruncate(descriptor, position + len(END))
    return sum(count for _, count in counts)


def class_sizes(images: int) -> Iterator[tuple[str, int]]:
    """Yield wnids of WordNet and numbers of images: about half of the classes hold most images, as in fall11."""
    wnids = sorted(load_wordnet())
    step = len(wnids) / CLASSES
    large = images * KEPT_SHARE / KEPT_CLASSES
    small = images * (1 - KEPT_SHARE) / (CLASSES - KEPT_CLASSES)
    is_large = kept = 0.0
    owed = 0.0
    for number in range(CLASSES):
        is_large = (number + 1) * KEPT_CLASSES // CLASSES - number * KEPT_CLASSES // CLASSES
        kept += is_large
        owed += large if is_large else small
        count = max(1, int(owed))
        owed -= count
        yield wnids[int(number * step)], count


def hop(path: Path) -> tuple[int, float, float]:
    """Return the number of images found by hopping over all headers, with the seconds by the clock and of the core."""
    reader = locate(path).open_ranges()
    clock, core = time.perf_counter(), time.process_time()
    found = 0
    for outer in read_members(reader.read, 0, reader.size):
        found += sum(1 for _ in read_members(reader.read, outer.offset, outer.offset + outer.size))
    return found, time.perf_counter() - clock, time.process_time() - core


def report(raw: Path, work: Path, images: int) -> None:
    """Time each step and print the table."""
    threshold = int(images * KEPT_SHARE / KEPT_CLASSES * 0.6)
    hops = [json.loads(measure(python(__file__, "--hop", raw)).output) for _ in range(3)]
    assert {found for found, _, _ in hops} == {images}
    clock, core = (sorted(column)[1] for column in list(zip(*hops, strict=True))[1:])
    filtered = measure(prep("filter", raw, work, "--min-images", threshold, "--json"))
    split = measure(prep("split", work, "--val-per-class", max(1, threshold // 10), "--json"))
    counts = {**json.loads(filtered.output), **{f"split_{k}": v for k, v in json.loads(split.output).items()}}
    assert counts["images"] == images
    print(
        f"{images:,} images in {counts['classes']:,} classes, a file of {raw.stat().st_size / 1e9:,.0f} GB, "
        f"{raw.stat().st_blocks * 512 / 1e9:,.1f} GB of it in blocks; {counts['classes_kept']:,} classes kept; "
        f"Python {sys.version.split()[0]}"
    )
    print(f"{'step':<24}{'seconds':>9}{'CPU s':>9}{'images/s':>11}{'peak MB':>9}{'fall11, min':>13}")
    scale = FULL / images / 60
    print(f"{'hop over the headers':<24}{clock:>9.1f}{core:>9.1f}{images / core:>11,.0f}{'':>9}{clock * scale:>13.1f}")
    for name, used in (("filter", filtered), ("split", split)):
        rate, peak = images / used.cpu_seconds, used.peak_bytes / 1e6
        print(
            f"{name:<24}{used.seconds:>9.1f}{used.cpu_seconds:>9.1f}{rate:>11,.0f}{peak:>9,.0f}"
            f"{used.seconds * scale:>13.1f}"
        )
    peak = max(filtered.peak_bytes, split.peak_bytes)
    verdict(f"headers hopped in a second of CPU: {images / core:,.0f}", images / core >= HEADER_TARGET, "100,000")
    verdict(f"peak memory: {peak / 1e6:,.0f} MB", peak < MEMORY_TARGET, "under 1 GiB")


def verdict(text: str, met: bool, target: str) -> None:
    """Print a figure beside its target."""
    print(f"{'met   ' if met else 'MISSED'}  {text} (target {target})")


if __name__ == "__main__":
    main()
