"""From a raw dump to shards: `in21k-prep`, the reference's way, and a plain Pillow script, on the same photographs.

    python bench/bench_prep.py --data FOLDER [--images 4000] [--rounds 3]

FOLDER holds photos.tar, a tar of class tars of full-size photographs; they are repeated until there are enough. Every
contender is a process of its own on the same cores, in interleaved rounds; figures are medians.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np
from peers_prep import SAMPLES_PER_SHARD, images, opencv_resize
from processes import Usage, measure, prep, python

from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.images.resize_image import decoder_versions, resize_image
from in21k.shards_manifest.manifest import ImageFormat
from in21k.shards_manifest.tar import END, member_bytes

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "bench" / "peers_prep.py"
STOCK = ROOT / "build" / "stock-pillow"
CORES = len(os.sched_getaffinity(0))
VAL_PER_CLASS = 2
LOOP_IMAGES = 2000
"""Of the loops on one core."""
MEGABYTE = 1e6

Figures = dict[str, dict[str, list[float]]]


def main() -> None:
    """Build the dumps, run the rounds, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("IN21K_REAL_DATA"))
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, default=None, help="a folder with some GB free, on no tmpfs")
    options = parser.parse_args()
    if options.data is None:
        print("passed over: neither --data nor IN21K_REAL_DATA names a folder with photos.tar")
        return
    install_stock_pillow()
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        scratch = Path(folder)
        raw, small = scratch / "raw.tar", scratch / "small.tar"
        count = repeat_photographs(options.data / "photos.tar", raw, options.images)
        looped = repeat_photographs(options.data / "photos.tar", small, min(LOOP_IMAGES, options.images))
        figures: Figures = defaultdict(lambda: defaultdict(list))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            loops(small, scratch, figures)
            whole(raw, scratch, count, figures)
        print_table(figures, count, looped)
        print_ssim(small)


def install_stock_pillow() -> None:
    """Put a stock Pillow of the same version beside, for the processes that get it first in their path."""
    if not (STOCK / "PIL").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(STOCK)]
        subprocess.run([*pip, "--requirement", str(ROOT / "requirements" / "pillow.txt")], check=True)


def repeat_photographs(source: Path, target: Path, wanted: int) -> int:
    """Write a tar of class tars that holds every photograph again and again under names of its own; return how many."""
    photographs = list(images(str(source)))
    copies = -(-wanted // len(photographs))
    classes: dict[str, list[bytes]] = defaultdict(list)
    for name, data in photographs:
        classes[name.partition("_")[0]].append(data)
    with target.open("wb") as file:
        for wnid, of_class in sorted(classes.items()):
            members = [
                member_bytes(f"{wnid}_{number}.JPEG", data) for number, data in enumerate(of_class * copies, start=1)
            ]
            file.write(member_bytes(f"{wnid}.tar", b"".join([*members, END])))
        file.write(END)
    return len(photographs) * copies


def loops(raw: Path, scratch: Path, figures: Figures) -> None:
    """Time one core: the bare loops, and our resize with either Pillow."""
    stock = {"PYTHONPATH": before_others(STOCK)}
    for name, step, environment in (("OpenCV", "opencv-loop", {}), ("stock Pillow", "pillow-loop", stock)):
        figures[f"loop: {name}"]["cpu"].append(float(measure(python(PEERS, step, raw), environment).output))
    for name, environment in (("ours", {}), ("ours on stock Pillow", stock)):
        work = scratch / "work"
        measure(prep("filter", raw, work, "--min-images", 1))
        measure(prep("split", work, "--val-per-class", 1))
        figures[f"loop: {name}"]["cpu"].append(float(measure(python(PEERS, "our-loop", raw, work), environment).output))
        shutil.rmtree(work)
    alone = figures["loop: OpenCV"]["cpu"][-1]
    figures["machine"]["ceiling"].append(sum(alone / seconds for seconds in at_once("opencv-loop", raw)))


def at_once(step: str, raw: Path) -> list[float]:
    """Return what a loop prints of each of as many processes at a time as there are cores."""
    command = python(PEERS, step, raw)
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CORES)]
    return [float(process.communicate()[0]) for process in processes]


def before_others(folder: Path) -> str:
    """Return the path of Python's modules with a folder ahead of what is there."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def whole(raw: Path, scratch: Path, count: int, figures: Figures) -> None:
    """Take the dump to shards in every way."""
    for workers in dict.fromkeys((1, CORES)):
        ours(raw, scratch, workers, count, figures[f"ours, {workers} worker{'s' * (workers > 1)}"])
    reference(raw, scratch, figures)
    out = scratch / "out"
    used = measure(python(PEERS, "plain", raw, out, CORES), {"PYTHONPATH": before_others(STOCK)})
    note(figures["plain Pillow script"], used, size_of(out))
    shutil.rmtree(out)


def ours(raw: Path, scratch: Path, workers: int, count: int, figures: dict[str, list[float]]) -> None:
    """Run `in21k-prep run`; when each stage ended, its record's time tells."""
    work, out = scratch / "work", scratch / "out"
    options = ["--min-images", 1, "--val-per-class", VAL_PER_CLASS, "--samples-per-shard", SAMPLES_PER_SHARD]
    begun = time.time()
    used = measure(prep("run", raw, work, out, *options, "--workers", workers, "--force"))
    note(figures, used, size_of(out))
    last = begun
    for stage in ("filter", "split", "resize"):
        ended = (work / f"{stage}.json").stat().st_mtime
        figures[stage].append(ended - last)
        last = ended
    figures["shard"].append(begun + used.seconds - last)
    figures["steady"].append(steady_rate(work / "parts", count))
    shutil.rmtree(work)
    shutil.rmtree(out)


def steady_rate(parts: Path, count: int) -> float:
    """Return the images a second between the first finished part and the last: without the start of the workers."""
    ended = sorted(path.stat().st_mtime for path in parts.glob("part-*[0-9].parquet"))
    return count * (len(ended) - 1) / len(ended) / (ended[-1] - ended[0])


def reference(raw: Path, scratch: Path, figures: Figures) -> None:
    """Extract, move, resize in place, then shard: each a process."""
    folder, out = scratch / "extracted", scratch / "out"
    steps = {
        "extract": ("extract", raw, folder),
        "move": ("move", folder, VAL_PER_CLASS),
        "resize": ("resize", folder, CORES),
        "shard": ("shard", folder, out),
    }
    row, taken = figures["the reference's way"], []
    for name, step in steps.items():
        taken.append(measure(python(PEERS, *step)))
        row[name].append(taken[-1].seconds)
    total = Usage(
        sum(used.seconds for used in taken),
        sum(used.cpu_seconds for used in taken),
        max(used.peak_bytes for used in taken),
        sum(used.written_bytes for used in taken),
        "",
    )
    note(row, total, size_of(out))
    shutil.rmtree(folder)
    shutil.rmtree(out)


def note(row: dict[str, list[float]], used: Usage, shards: int) -> None:
    """Add what a way took to its row."""
    for name, value in {
        "seconds": used.seconds,
        "cpu": used.cpu_seconds,
        "peak": used.peak_bytes,
        "written": used.written_bytes,
        "shards": shards,
    }.items():
        row[name].append(value)


def size_of(folder: Path) -> int:
    """Return the bytes of the tars below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*.tar"))


def print_table(figures: Figures, count: int, looped: int) -> None:
    """Print the medians and what performance.md asks of them."""
    middle = {row: {name: median(values) for name, values in columns.items()} for row, columns in figures.items()}
    versions = ", ".join(f"{name} {version}" for name, version in decoder_versions(ImageFormat.JPEG).items())
    print(f"{count:,} photographs to {CORES} cores; {versions}; Python {sys.version.split()[0]}; medians\n")
    print(
        f"{'end to end':<22}{'images/s':>9}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}{'written MB':>12}{'/ shards':>9}"
        "  stages, s"
    )
    for name, row in middle.items():
        if "seconds" not in row:
            continue
        stages = ", ".join(
            f"{stage} {row[stage]:.1f}"
            for stage in ("extract", "move", "filter", "split", "resize", "shard")
            if stage in row
        )
        print(
            f"{name:<22}{count / row['seconds']:>9.0f}{row['seconds']:>9.1f}{row['cpu']:>8.1f}"
            f"{row['peak'] / MEGABYTE:>9.0f}{row['written'] / MEGABYTE:>12.0f}{row['written'] / row['shards']:>9.2f}"
            f"  {stages}"
        )
    print(f"\n{'one core':<30}{'images a CPU second':>20}{'OpenCV = 1':>12}")
    bare = middle["loop: OpenCV"]["cpu"]
    for name, row in middle.items():
        if name.startswith("loop: "):
            print(f"{name.removeprefix('loop: '):<30}{looped / row['cpu']:>20.0f}{bare / row['cpu']:>12.2f}")
    print()
    one, all_cores = middle["ours, 1 worker"], middle[f"ours, {CORES} worker{'s' * (CORES > 1)}"]
    reference_way = middle["the reference's way"]
    ours_alone, stock = middle["loop: ours"]["cpu"], middle["loop: stock Pillow"]["cpu"]
    for text, value, least in (
        ("end to end, of the reference's way", reference_way["seconds"] / all_cores["seconds"], 1.3),
        ("one core, of the bare OpenCV loop", bare / ours_alone, 0.84),
        ("one core, of stock Pillow", stock / ours_alone, 1.6),
        (f"{CORES} workers, of one, in resize", all_cores["steady"] / one["steady"], 0.95 * CORES),
    ):
        verdict(f"{text}: {value:.2f}", value >= least, f"at least {least}")
    print(f"        {CORES} bare OpenCV loops at once, of one: {middle['machine']['ceiling']:.2f} (all there is here)")
    bytes_ratio = all_cores["written"] / all_cores["shards"]
    verdict(f"bytes written, of the shards' size: {bytes_ratio:.2f}", bytes_ratio <= 2.3, "at most 2.3")
    peak = all_cores["peak"] / MEGABYTE
    verdict(f"peak memory of a process: {peak:.0f} MB", peak <= 600, "at most 600")


def print_ssim(raw: Path) -> None:
    """Print how near the written JPEGs come to an antialiased Lanczos resize of the decoded photographs."""
    from PIL import Image

    ours, theirs = [], []
    parameters = ResizeParameters()
    for data in {data for _, data in images(str(raw))}:
        gold = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.LANCZOS))
        for found, written in ((ours, resize_image(data, parameters).data), (theirs, opencv_resize(data))):
            found.append(ssim(np.asarray(Image.open(io.BytesIO(written)).convert("RGB")), gold))
    value = float(np.mean(ours))
    verdict(f"SSIM to the gold: {value:.3f} (the reference's: {np.mean(theirs):.3f})", value >= 0.985, "at least 0.985")


def ssim(image: np.ndarray, gold: np.ndarray) -> float:
    """Return the mean structural similarity of two RGB images' luma (Wang et al. 2004: Gaussian window, 1.5 pixels)."""
    import cv2

    first, second = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float64) for each in (image, gold))

    def blurred(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)[5:-5, 5:-5]

    mean_1, mean_2 = blurred(first), blurred(second)
    variance_1 = blurred(first * first) - mean_1**2
    variance_2 = blurred(second * second) - mean_2**2
    covariance = blurred(first * second) - mean_1 * mean_2
    small_1, small_2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = ((2 * mean_1 * mean_2 + small_1) * (2 * covariance + small_2)) / (
        (mean_1**2 + mean_2**2 + small_1) * (variance_1 + variance_2 + small_2)
    )
    return float(similarity.mean())


def verdict(text: str, met: bool, target: str) -> None:
    """Print a figure beside its target."""
    print(f"{'met   ' if met else 'MISSED'}  {text} (target: {target})")


if __name__ == "__main__":
    main()
