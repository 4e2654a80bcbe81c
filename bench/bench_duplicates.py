"""Duplicates: what is found of planted copies and what else, how long a search takes, what resize pays for hashes.

    python bench/bench_duplicates.py --data FOLDER [--images 20000] [--copies 500] [--hashes 14000000] [--rounds 15]

FOLDER holds mini21k.tar and photos.tar, tars of class tars. Copies are encoded anew (JPEG of quality 60), scaled to
half their size, cropped by 5 % of width and height at a random place, or mirrored; each goes into another class. The
search runs on random hashes, in a process of its own. Each image is resized with and without hashes in turn.
"""

import argparse
import io
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from peers_prep import images
from PIL import Image, ImageOps
from processes import measure, prep, python

from in21k.prep.duplicates.search import Targets, near_pairs
from in21k.prep.images import resize_image as resize_module
from in21k.prep.images.fingerprint import CROPS, MIRRORED, Fingerprinter, Sketch
from in21k.prep.images.parameters import ResizeParameters
from in21k.shards_manifest.tar import END, member_bytes

DISTANCES = (2, 4, 6, 8)
LOOPED = 60
"""Photographs of a round of resize."""
CORES = len(os.sched_getaffinity(0))


def main() -> None:
    """Run all of it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("IN21K_REAL_DATA"))
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--copies", type=int, default=500)
    parser.add_argument("--hashes", type=int, default=14_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--scratch", type=Path, default=None)
    parser.add_argument("--search", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        search(*options.search)
        return
    if options.data is not None:
        for name, size in (("mini21k.tar", 64), ("photos.tar", 224)):
            with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
                copies(options.data / name, Path(folder), options.images, options.copies, size)
        resize_cost(options.data / "photos.tar", options.rounds)
    else:
        print("copies and resize are passed over: neither --data nor IN21K_REAL_DATA names a folder")
    searches(options.hashes)


def encoded(image: Image.Image, quality: int = 90) -> bytes:
    """Return a picture as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def cropped(image: Image.Image, chance: random.Random) -> Image.Image:
    """Return a picture without 5 % of its width and height, at a random place."""
    width, height = round(image.width * 0.95), round(image.height * 0.95)
    left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


KINDS: dict[str, Callable[[Image.Image, random.Random], bytes]] = {
    "JPEG 60": lambda image, _chance: encoded(image, 60),
    "half size": lambda image, _chance: encoded(image.resize((image.width // 2, image.height // 2))),
    "5 % crop": lambda image, chance: encoded(cropped(image, chance)),
    "mirrored": lambda image, _chance: encoded(ImageOps.mirror(image)),
}


def copies(source: Path, folder: Path, most: int, planted: int, size: int) -> None:
    """Plant copies in a dump, prepare it, search it at several distances, and print what was found."""
    wanted = plant(source, folder / "raw.tar", most, planted)
    sizes = ("--min-images", 1, "--val-per-class", 0, "--size", size)
    measure(prep("run", folder / "raw.tar", folder / "work", folder / "out", *sizes, "--workers", CORES))
    kinds = Counter(wanted.values())
    print(f"\n{source.name}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}, at {size} pixels\n")
    print(f"| distance | {' | '.join(kinds)} | pairs found | of them not planted: same | mirrored | cropped |")
    print(f"|---|{'---|' * (len(kinds) + 4)}")
    for distance in DISTANCES:
        measure(prep("duplicates", folder / "out", "--distance", distance, "--output", folder / str(distance)))
        rows = pq.read_table(folder / str(distance) / "duplicates.parquet").to_pylist()
        pairs = {frozenset((row["first_key"], row["second_key"])): row["likeness"] for row in rows}
        recall = [
            sum(pair in pairs for pair, its in wanted.items() if its == kind) / count for kind, count in kinds.items()
        ]
        others = Counter(likeness.partition("-")[0] for pair, likeness in pairs.items() if pair not in wanted)
        cells = [*(f"{share:.1%}" for share in recall), str(len(pairs))]
        cells += [str(others[likeness]) for likeness in ("same", "mirrored", "cropped")]
        print(f"| {distance} | {' | '.join(cells)} |", flush=True)
        for pair in sorted(sorted(pair) for pair in pairs if pair not in wanted)[:10]:
            print(f"  not planted: {' and '.join(pair)}", file=sys.stderr)


def plant(source: Path, target: Path, most: int, planted: int) -> dict[frozenset[str], str]:
    """Write a dump with some images and copies of a few in other classes; return the kind of each pair of keys."""
    chance = random.Random(0)
    chosen = sorted(images(str(source)))
    chosen = sorted(chance.sample(chosen, min(most, len(chosen))))
    classes: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for name, data in chosen:
        classes[name.partition("_")[0]].append((name, data))
    wnids = sorted(classes)
    wanted: dict[frozenset[str], str] = {}
    for number, (name, data) in enumerate(chance.sample(chosen, min(planted, len(chosen)))):
        kind = list(KINDS)[number % len(KINDS)]
        other = wnids[(wnids.index(name.partition("_")[0]) + 1) % len(wnids)]
        key = f"{other}_copy{number}"
        classes[other].append((f"{key}.JPEG", KINDS[kind](Image.open(io.BytesIO(data)).convert("RGB"), chance)))
        wanted[frozenset((key, name.rpartition(".")[0]))] = kind
    with target.open("wb") as file:
        for wnid in wnids:
            members = b"".join(member_bytes(name, data) for name, data in classes[wnid])
            file.write(member_bytes(f"{wnid}.tar", members + END))
        file.write(END)
    return wanted


def searches(count: int) -> None:
    """Time the search of random hashes, and print what it took."""
    print(f"\n{count:,} random hashes, {CORES} threads\n")
    print("| distance | crops | seconds | CPU seconds | peak GB | pairs |")
    print("|---|---|---|---|---|---|")
    for distance, crops in ((4, 0), (4, 1), (6, 0)):
        usage = measure(python(__file__, "--search", count, distance, crops))
        words = "yes" if crops else "no"
        figures = f"{usage.seconds:,.0f} | {usage.cpu_seconds:,.0f} | {usage.peak_bytes / 1e9:.2f}"
        print(f"| {distance} | {words} | {figures} | {json.loads(usage.output):,} |", flush=True)


def search(count: int, distance: int, crops: int) -> None:
    """Search random hashes, as they are and mirrored, and windows of others; print the number of pairs."""
    random_numbers = np.random.default_rng(0)

    def hashes() -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return random_numbers.integers(0, 1 << 64, count, np.uint64)

    own = hashes()
    targets = [Targets(own, (0, MIRRORED))] + [Targets(hashes(), (0, MIRRORED)) for _ in range(CROPS * crops)]
    print(sum(len(near.left) for near in near_pairs(own, targets, distance, CORES)))


def resize_cost(source: Path, rounds: int) -> None:
    """Print what resizing an image takes with and without its hashes, some images at a time, in turn."""
    photographs = [data for _, data in images(str(source))][:LOOPED]
    real, nothing = resize_module.sketch, Sketch(Image.new("RGB", (1, 1)), 0)
    seconds = {name: np.zeros((rounds, len(photographs) + 1)) for name in ("without", "with")}
    for number in range(rounds):
        makers = {name: Fingerprinter() for name in seconds}
        for at, data in enumerate(photographs):
            for name in sorted(seconds, reverse=bool((number + at) % 2)):
                resize_module.sketch = real if name == "with" else lambda _data, _picture: nothing
                begun = time.process_time()
                resized = resize_module.resize_image(data, ResizeParameters())
                if name == "with":
                    makers[name].add(resized.sketch)
                seconds[name][number, at] = time.process_time() - begun
        begun = time.process_time()
        makers["with"].all()
        seconds["with"][number, -1] = time.process_time() - begun
    resize_module.sketch = real
    print(f"\nresize of {len(photographs)} photographs to 224 pixels, {rounds} rounds, CPU time of one process\n")
    print("| | µs per image, least of the rounds | median |\n|---|---|---|")
    least = {name: taken.min(axis=0).sum() / len(photographs) * 1e6 for name, taken in seconds.items()}
    middle = {name: np.median(taken, axis=0).sum() / len(photographs) * 1e6 for name, taken in seconds.items()}
    for name in seconds:
        print(f"| {name} hashes | {least[name]:,.0f} | {middle[name]:,.0f} |")
    shares = [figures["with"] / figures["without"] - 1 for figures in (least, middle)]
    print(f"| difference | {' | '.join(f'{share:.1%}' for share in shares)} |")


if __name__ == "__main__":
    main()
