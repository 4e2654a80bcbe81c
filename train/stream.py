"""The loader: a webdataset pipeline from a plan of batches to decoded, augmented images.

    plan → slots → samples, read by offset → batch of pixels

The stages are generator functions. They run in the loader's worker processes, which share nothing: what each one reads
follows from the plan and its own number.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
import webdataset
from torch.utils.data import DataLoader, get_worker_info

from in21k.shards_manifest.files import Location
from in21k.shards_manifest.manifest import Manifest
from in21k.train.augment import Augmentation, KeepsTorchRandomness
from in21k.train.decode import decode_into
from in21k.train.errors import USER_ERRORS, TrainError
from in21k.train.partition import EvalPlan, Slots, TrainPlan
from in21k.train.shard_reader import Sample, ShardReader

MAX_WORKERS = 8


class Batch(NamedTuple):
    """The images of one step on one rank."""

    images: torch.Tensor
    """uint8 [B, 3, H, W], RGB, 0 to 255; channels last in memory."""
    class_indices: torch.Tensor
    """int64 [B]; 0 where not valid."""
    valid: torch.Tensor
    """bool [B]: False for padding and for images that do not decode."""
    skipped: tuple[str, ...]
    """Keys of the images that do not decode."""


class Failure(NamedTuple):
    """An error of a worker process, which the training process raises: its message stays one line on the way."""

    message: str


@dataclass(frozen=True)
class Source:
    """What a stream is read from, and how its images are made."""

    location: Location
    manifest: Manifest
    split: str
    image_size: int
    """Side of the images in pixels."""
    augmentation: Augmentation | None = None
    """None for validation."""


def open_stream(
    source: Source, plan: TrainPlan | EvalPlan, *, start_step: int = 0, workers: int = 0, pin_memory: bool = False
) -> Iterator[Batch]:
    """Yield the batches of a plan in order, from a step on.

    Args:
        source: the split and how its images are made.
        plan: which samples each step takes.
        start_step: the first step to read; what comes before is not touched.
        workers: loader processes; the batches do not depend on their number.
        pin_memory: copy batches to page-locked memory, for a GPU.

    Raises:
        DatasetError: a shard cannot be read, or is not what the manifest says.
        TrainError: a loader process died.
    """
    pipeline = webdataset.DataPipeline(
        partial(_plan_slots, plan, start_step),
        partial(_read_samples, source),
        partial(_decode_batches, source),
        _failures_as_items,
    )
    loader: DataLoader[Any] = DataLoader(
        pipeline,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        multiprocessing_context=_worker_context() if workers else None,
        generator=torch.Generator(),  # it draws a seed for its workers, which must not come from the model's randomness
    )
    try:
        for item in loader:
            if isinstance(item, Failure):
                raise TrainError(item.message)
            yield item
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainError("a loader process died, of too little memory as a rule; try fewer --workers") from error


def default_workers(local_world_size: int) -> int:
    """Return how many loader processes suit one of the training processes of this machine."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, max(0, cpus - 1) // local_world_size)


def _plan_slots(plan: TrainPlan | EvalPlan, start_step: int) -> Iterator[Slots]:
    info = get_worker_info()
    return plan.slots(start_step) if info is None else plan.slots(start_step, info.id, info.num_workers)


def _read_samples(source: Source, batches: Iterable[Slots]) -> Iterator[tuple[Slots, list[Sample | None]]]:
    reader = ShardReader(source.location, source.manifest, source.split)
    try:
        for slots in batches:
            yield slots, reader.read(slots.samples)
    finally:
        reader.close()


def _decode_batches(source: Source, batches: Iterable[tuple[Slots, list[Sample | None]]]) -> Iterator[Batch]:
    for slots, samples in batches:
        with KeepsTorchRandomness():
            batch = _decode_batch(source, slots, samples)
        yield batch


def _decode_batch(source: Source, slots: Slots, samples: list[Sample | None]) -> Batch:
    pixels = np.empty((len(samples), source.image_size, source.image_size, 3), np.uint8)
    class_indices = torch.zeros(len(samples), dtype=torch.int64)
    valid = torch.zeros(len(samples), dtype=torch.bool)
    skipped = []
    for place, sample in enumerate(samples):
        if sample is None or not decode_into(sample.image, pixels[place]):
            pixels[place] = 0
            if sample is not None:
                skipped.append(sample.key)
            continue
        class_indices[place] = sample.class_index
        valid[place] = True
        if source.augmentation is not None:
            source.augmentation.apply(pixels[place], slots.epoch, slots.start + place)
    return Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), class_indices, valid, tuple(skipped))


def _failures_as_items(batches: Iterable[Batch]) -> Iterator[Batch | Failure]:
    try:
        yield from batches
    except (*USER_ERRORS, OSError, pa.ArrowException) as error:
        yield Failure(" ".join(str(error).split()))


def _worker_context() -> Any:
    context = multiprocessing.get_context("forkserver")  # a fork of a process with threads and CUDA may hang
    context.set_forkserver_preload(["in21k.train.stream"])
    return context


def _start_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process ends its workers
    torch.set_num_threads(1)
