"""Forecast of what a run will need in disk and time, from the split table and a small sample of images."""

import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from in21k.prep.errors import PrepError
from in21k.prep.images.parameters import DEFAULT_MEMORY, ResizeParameters
from in21k.prep.images.resize_image import resize_image
from in21k.prep.raw.open import open_source
from in21k.prep.raw.read_ahead import read_ahead
from in21k.prep.raw.source import require_bytes
from in21k.prep.records import SPLIT_SCHEMA, Kept
from in21k.prep.stages.class_rows import read_class_rows
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.part_plan import memory_for_one_image
from in21k.prep.stages.parts import sample_bytes
from in21k.prep.stages.record import PARTS, SPLIT, required
from in21k.prep.stages.resize import with_selection
from in21k.prep.stages.rest import Rest
from in21k.prep.stages.shard import STAGE as SHARD
from in21k.shards_manifest.command.numbers import bytes_text
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.manifest import SPLITS
from in21k.shards_manifest.storage.location import Location

_MARGIN = 1.05
_TABLE_BYTES_PER_IMAGE = 160  # of Parquet tables in the work folder, and as much again in the dataset


@dataclass(frozen=True)
class Forecast:
    """What the rest of a run will need."""

    rest: Rest
    sampled: int
    """Number of images that were resized for the forecast."""
    damaged: int
    """How many of them do not decode."""
    work_bytes: int
    """Bytes yet to be written to the work folder."""
    output_bytes: int
    """Bytes yet to be written to the dataset."""
    seconds: float
    """Duration of resizing, on all workers of this machine."""


class _Tried(NamedTuple):
    """What came of images that were resized for the forecast."""

    images: int = 0
    damaged: int = 0
    written: int = 0
    """Bytes of the samples that they become."""
    seconds: float = 0.0


def forecast(
    raw: Location,
    work: Location,
    rest: Rest,
    parameters: ResizeParameters,
    workers: int,
    seconds: float,
    memory: int = DEFAULT_MEMORY,
) -> Forecast:
    """Resize a random sample for some seconds and return what the rest of a run will need.

    Where no image is left to be resized, none is tried, and the parts say how large the dataset will be.

    Args:
        raw: the dump.
        work: the work folder, with `filter` and `split` done, or a rehearsal of it.
        rest: what is left.
        parameters: those of resize.
        workers: number of processes that will resize.
        seconds: how long to sample.
        memory: bytes that each of them may use.

    Raises:
        PrepError: an earlier stage is missing, or none of the sampled images decodes.
    """
    images = sum(required(work, "split").counts[split] for split in SPLITS)
    tried = _Tried()
    if rest.images:
        tried = _try_some(raw, work, with_selection(parameters, work), seconds, memory_for_one_image(memory))
        per_image = tried.written / tried.images
    else:
        per_image = sum((rest.work / PARTS).files().values()) / images if images else 0.0
    bytes_of = (per_image + _TABLE_BYTES_PER_IMAGE) * _MARGIN
    present = sum(_present(rest.output / split) for split in SPLITS)
    return Forecast(
        rest=rest,
        sampled=tried.images,
        damaged=tried.damaged,
        work_bytes=int(rest.images * bytes_of),
        output_bytes=max(0, int(images * bytes_of) - present) if SHARD in rest.left else 0,
        seconds=tried.seconds / max(tried.images, 1) * rest.images / workers,
    )


def _try_some(raw: Location, work: Location, parameters: ResizeParameters, seconds: float, memory: int) -> _Tried:
    """Resize images from random places of the dump for some seconds, and return what came of them."""
    started = time.perf_counter()
    images = written = damaged = 0
    with closing(open_source(raw, work, required(work, "filter").inputs["layout"])) as source:
        for rows in _random_rows(work / SPLIT):
            for row, content in read_ahead(source, rows):
                images += 1
                try:
                    image = resize_image(require_bytes(content), parameters, memory).data
                except ImageError:
                    damaged += 1
                    continue
                written += len(sample_bytes(row["key"], parameters.format.suffix, image, row["class_index"]))
            if time.perf_counter() - started >= seconds:
                break
    if not written:
        raise PrepError(f"{raw.text}: none of {images} randomly chosen images can be decoded")
    return _Tried(images, damaged, written, time.perf_counter() - started)


class Disk(NamedTuple):
    """A disk of this machine that is written to."""

    folders: tuple[str, ...]
    """What is written to it, as users name it."""
    needed: int
    """Bytes."""
    free: int
    """Bytes."""


def disks(work: Location, output: Location, needed: Forecast) -> list[Disk]:
    """Return the disks that a run writes to; object stores count as unlimited, and are none."""
    by_device: dict[int, list[tuple[Location, int]]] = {}
    for folder, size in ((work, needed.work_bytes), (output, needed.output_bytes)):
        if folder.is_local:
            by_device.setdefault(_existing(folder).stat().st_dev, []).append((folder, size))
    return [
        Disk(
            folders=tuple(folder.text for folder, _ in folders),
            needed=sum(size for _, size in folders),
            free=shutil.disk_usage(_existing(folders[0][0])).free,
        )
        for folders in by_device.values()
    ]


def require_space(work: Location, output: Location, needed: Forecast) -> None:
    """Refuse to start a run that the disks have no space for.

    Raises:
        PrepError: a disk is too small; the message names the folder, what is needed and what is free.
    """
    for disk in disks(work, output, needed):
        if disk.needed > disk.free:
            raise PrepError(
                f"{' and '.join(disk.folders)}: about {bytes_text(disk.needed)} will be written, but "
                f"{bytes_text(disk.free)} are free; free some, name another folder, or give --force"
            )


def summary(work: Location, needed: Forecast, found: list[Disk], workers: int) -> dict[str, Any]:
    """Return what a dry run finds, by name.

    Args:
        work: the work folder, with `filter` and `split` done.
        needed: the forecast.
        found: the disks.
        workers: number of processes that will resize.
    """
    filtered, split = required(work, "filter").counts, required(work, "split").counts
    return {
        "dry_run": True,
        "stages_done": list(needed.rest.done),
        "stages_left": list(needed.rest.left),
        "images_left": needed.rest.images,
        "needed_bytes": needed.work_bytes + needed.output_bytes,
        "free_bytes": min((disk.free for disk in found), default=None),
        "enough_space": all(disk.needed <= disk.free for disk in found),
        "resize_seconds": round(needed.seconds),
        "workers": workers,
        **{name: filtered[name] for name in ("classes", "images", "classes_kept", "images_kept")},
        "train": split["train"],
        "val": split["val"],
        "rejected": filtered.get("rejected", 0) + split.get("rejected", 0),
        **_dropped(work),
        **({"images_unselected": split["unselected"]} if "unselected" in split else {}),
        "images_sampled": needed.sampled,
        "images_sampled_damaged": needed.damaged,
        "dataset": needed.rest.output.text,
        "work_bytes": needed.work_bytes,
        "output_bytes": needed.output_bytes,
    }


def _dropped(work: Location) -> dict[str, int]:
    """Return how many classes are dropped for each reason, and how many images they have."""
    rows = read_class_rows(work).to_pylist()
    dropped: dict[str, int] = {}
    for reason in Kept:
        images = [row["images"] for row in rows if row["reason"] == reason.value]
        if images and reason is not Kept.KEPT:
            dropped |= {f"classes_{reason.word}": len(images), f"images_{reason.word}": sum(images)}
    return dropped


def _random_rows(split: Location) -> Iterator[list[dict[str, Any]]]:
    """Yield small groups of rows from random places of the split table, the same ones every time."""
    rng = np.random.default_rng(0)
    with open_image_rows(split, SPLIT_SCHEMA) as file:
        for group in rng.permutation(len(file)):
            table = file.read(int(group))
            chosen = np.sort(rng.choice(len(table), min(256, len(table)), replace=False))
            rows: list[dict[str, Any]] = table.take(chosen).to_pylist()
            for start in range(0, len(rows), 64):
                yield sorted(rows[start : start + 64], key=lambda row: (row["archive"], row["offset"]))


def _present(folder: Location) -> int:
    """Return the number of bytes that a local folder already contains."""
    if not folder.is_local:
        return 0
    path = Path(folder.path)
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else 0


def _existing(folder: Location) -> Path:
    """Return the folder, or its nearest ancestor that exists."""
    path = Path(folder.path)
    return next(above for above in (path, *path.parents) if above.exists())
