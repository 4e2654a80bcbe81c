"""Forecast of what a run will need in disk and time, from the split table and a small sample of images."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from in21k.prep.errors import PrepError
from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.images.resize_image import resize_image
from in21k.prep.raw.open import open_source
from in21k.prep.raw.read_ahead import read_ahead
from in21k.prep.raw.source import require_bytes
from in21k.prep.records import SPLIT_SCHEMA
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.part_plan import memory_for_one_image
from in21k.prep.stages.parts import sample_bytes
from in21k.prep.stages.record import PARTS, SPLIT, required
from in21k.prep.stages.resize import DEFAULT_MEMORY, with_selection
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.manifest import SPLITS
from in21k.shards_manifest.storage.location import Location

QUICK_SECONDS = 1.0
"""Seconds of sampling before a run."""
THOROUGH_SECONDS = 10.0
"""Seconds of sampling for a dry run."""

_MARGIN = 1.05
_TABLE_BYTES_PER_IMAGE = 160  # of Parquet tables in the work folder, and as much again in the dataset


@dataclass(frozen=True)
class Forecast:
    """What resize and shard will need."""

    sampled: int
    """Number of images that were resized for the forecast."""
    work_bytes: int
    """Bytes yet to be written to the work folder."""
    output_bytes: int
    """Bytes yet to be written to the dataset."""
    seconds: float
    """Duration of resizing, on all workers of this machine."""


def forecast(
    raw: Location,
    work: Location,
    output: Location,
    parameters: ResizeParameters,
    workers: int,
    seconds: float,
    memory: int = DEFAULT_MEMORY,
) -> Forecast:
    """Resize a random sample for some seconds and return what the whole run will need.

    Args:
        raw: the dump.
        work: the work folder, with `filter` and `split` done.
        output: where the dataset will be.
        parameters: those of resize.
        workers: number of processes that will resize.
        seconds: how long to sample.
        memory: bytes that each of them may use.

    Raises:
        PrepError: an earlier stage is missing, or none of the sampled images decodes.
    """
    parameters = with_selection(parameters, work)
    images = sum(required(work, "split").counts[split] for split in SPLITS)
    started = time.perf_counter()
    sampled = written = 0
    with closing(open_source(raw, work, required(work, "filter").inputs["layout"])) as source:
        for rows in _random_rows(work / SPLIT):
            for row, content in read_ahead(source, rows):
                sampled += 1
                try:
                    image = resize_image(require_bytes(content), parameters, memory_for_one_image(memory)).data
                except ImageError:
                    continue
                written += len(sample_bytes(row["key"], parameters.format.suffix, image, row["class_index"]))
            if time.perf_counter() - started >= seconds:
                break
    if not written:
        raise PrepError(f"{raw.text}: none of {sampled} randomly chosen images can be decoded")
    whole = int(images * (written / sampled + _TABLE_BYTES_PER_IMAGE) * _MARGIN)
    return Forecast(
        sampled=sampled,
        work_bytes=max(0, whole - _present(work / PARTS)),
        output_bytes=max(0, whole - sum(_present(output / split) for split in SPLITS)),
        seconds=(time.perf_counter() - started) / sampled * images / workers,
    )


def require_space(work: Location, output: Location, needed: Forecast) -> None:
    """Refuse to start a run that the disks have no space for; object stores count as unlimited.

    Raises:
        PrepError: a disk is too small; the message names the folder, what is needed and what is free.
    """
    by_device: dict[int, list[tuple[Location, int]]] = {}
    for folder, size in ((work, needed.work_bytes), (output, needed.output_bytes)):
        if folder.is_local:
            by_device.setdefault(_existing(folder).stat().st_dev, []).append((folder, size))
    for folders in by_device.values():
        free = shutil.disk_usage(_existing(folders[0][0])).free
        size = sum(size for _, size in folders)
        if size > free:
            names = " and ".join(folder.text for folder, _ in folders)
            raise PrepError(
                f"{names}: about {gigabytes(size)} will be written, but {gigabytes(free)} are free; "
                "free some, name another folder, or give --force"
            )


def gigabytes(size: int) -> str:
    """Return a number of bytes in GB or MB, as text."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def summary(counts: Mapping[str, int], needed: Forecast) -> dict[str, Any]:
    """Return what a dry run prints, by name.

    Args:
        counts: those of filter.
        needed: the forecast.
    """
    return {
        "classes": counts["classes"],
        "images": counts["images"],
        "classes_kept": counts["classes_kept"],
        "images_kept": counts["images_kept"],
        "images_sampled": needed.sampled,
        "work_bytes": needed.work_bytes,
        "output_bytes": needed.output_bytes,
        "resize_seconds": round(needed.seconds),
    }


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
