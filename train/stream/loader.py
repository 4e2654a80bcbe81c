"""The loader: a webdataset pipeline from a plan of batches to decoded, augmented images.

    plan → slots → samples, read by offset → batch of pixels

The stages are generator functions. They run in the loader's worker processes, which share nothing but the memory of the
batches: what each one reads follows from the plan and its own number.
"""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import torch
import webdataset
from torch.utils.data import DataLoader, get_worker_info

from in21k.shards_manifest.errors import one_line
from in21k.train.data.interfaces import Sample
from in21k.train.data.partition import EvalPlan, Slots, TrainPlan
from in21k.train.errors import USER_ERRORS, TrainError
from in21k.train.stream.buffers import BatchPool, BatchRing, RingShape, as_images, page_locked
from in21k.train.stream.decoder import BatchDecoder, Labels
from in21k.train.stream.source import Source

MAX_WORKERS = 8

PREFETCH = 2
"""Batches that a loader process makes before they are asked for."""

_HELD = 3
"""Batches that the training process holds: the one of the step, and those on their way to the device."""

_READ_AHEAD = 2
"""Batches that are read from an object store while one is decoded."""


class Batch(NamedTuple):
    """The images of one step on one rank."""

    images: torch.Tensor
    """uint8 [B, 3, H, W], RGB, 0 to 255; channels last in memory, which is used again when nothing refers to it."""
    class_indices: torch.Tensor
    """int64 [B]; 0 where not valid."""
    valid: torch.Tensor
    """bool [B]: False for padding and for images that do not decode."""
    skipped: tuple[str, ...]
    """Keys of the images that do not decode."""
    epoch: int = 0
    start: int = 0
    """The epoch's position of the first place."""


class Failure(NamedTuple):
    """An error of a worker process, which the training process raises: its message stays one line on the way."""

    message: str


class Packed(NamedTuple):
    """A batch on its way from a loader process."""

    labels: Labels
    worker: int
    slot: int
    """Of the worker's buffers in the ring."""


def open_stream(
    source: Source, plan: TrainPlan | EvalPlan, *, start_step: int = 0, workers: int = 0, pin_memory: bool = False
) -> Generator[Batch]:
    """Yield the batches of a plan in order, from a step on.

    Args:
        source: the samples and how its images are made.
        plan: which samples each step takes.
        start_step: the first step to read; what comes before is not touched.
        workers: loader processes; the batches do not depend on their number.
        pin_memory: keep the batches in page-locked memory, for a GPU.

    Raises:
        DatasetError: the data cannot be read, or are not what they were when they were opened.
        TrainError: a loader process died, or an image does not decode and the source is strict.
    """
    shape = (plan.batch_size, source.image_size, source.image_size, 3)
    slots = PREFETCH + 1 + -(-_HELD // max(workers, 1))
    ring = BatchRing(RingShape(workers, slots, shape)) if workers else None
    pipeline = webdataset.DataPipeline(
        partial(_plan_slots, plan, start_step),
        partial(_read_samples, source),
        partial(_decode_batches, source, ring),
        _failures_as_items,
    )
    loader: DataLoader[Any] = DataLoader(
        pipeline,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=_start_worker,
        multiprocessing_context=_worker_context() if workers else None,
        generator=torch.Generator(),  # it draws a seed for its workers, which must not come from the model's randomness
    )
    with page_locked(ring if pin_memory else None):
        yield from _unpacked(loader, ring)


def default_workers(local_world_size: int) -> int:
    """Return how many loader processes suit one of the training processes of this machine."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, max(0, cpus - 1) // local_world_size)


def _unpacked(loader: "DataLoader[Any]", ring: BatchRing | None) -> Iterator[Batch]:
    items: Any = iter(loader)
    try:
        for item in items:
            if isinstance(item, Failure):
                raise TrainError(item.message)
            if isinstance(item, Packed):
                assert ring is not None
                item = _batch(ring.lend(item.worker, item.slot), item.labels)
            yield item
            del item  # or its memory would stay in use until the next one is there
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainError("a loader process died, of too little memory as a rule; try fewer --workers") from error
    finally:  # a traceback may hold the iterator for long, and with it the loader's processes
        if ring is not None:
            items._shutdown_workers()


def _as_it_is(item: Any) -> Any:
    return item


def _batch(pixels: Any, labels: Labels) -> Batch:
    return Batch(
        as_images(pixels),
        torch.from_numpy(labels.class_indices),
        torch.from_numpy(labels.valid),
        labels.skipped,
        labels.epoch,
        labels.start,
    )


def _plan_slots(plan: TrainPlan | EvalPlan, start_step: int) -> Iterator[Slots]:
    info = get_worker_info()
    return plan.slots(start_step) if info is None else plan.slots(start_step, info.id, info.num_workers)


def _read_samples(source: Source, batches: Iterable[Slots]) -> Iterator[tuple[Slots, list[Sample | None]]]:
    reader = source.open_reader()
    ahead: deque[tuple[Slots, Sequence[Any]]] = deque()
    try:
        for slots in batches:
            ahead.append((slots, reader.request(slots.samples)))
            if len(ahead) > (_READ_AHEAD if reader.reads_ahead else 0):
                ready, requests = ahead.popleft()
                yield ready, reader.collect(requests)
        for ready, requests in ahead:
            yield ready, reader.collect(requests)
    finally:
        reader.close()


def _decode_batches(
    source: Source, ring: BatchRing | None, batches: Iterable[tuple[Slots, list[Sample | None]]]
) -> Iterator[Batch | Packed]:
    decoder = BatchDecoder(source.augmentation, source.crop_seed, source.crops, source.strict, source.as_found)
    info, pool = get_worker_info(), BatchPool()
    for slots, samples in batches:
        slot = ring.take(info.id) if ring is not None and info is not None else None
        if ring is None or info is None or slot is None:
            pixels = pool.take((len(samples), source.image_size, source.image_size, 3))
            yield _batch(pixels, decoder.decode(samples, slots, pixels))
            del pixels
        else:
            yield Packed(decoder.decode(samples, slots, ring.array(info.id, slot)), info.id, slot)


def _failures_as_items(batches: Iterable[Batch | Packed]) -> Iterator[Batch | Packed | Failure]:
    try:
        yield from batches
    except (*USER_ERRORS, OSError, pa.ArrowException) as error:
        yield Failure(one_line(error, longest=None))


def _worker_context() -> Any:
    context = multiprocessing.get_context("forkserver")  # a fork of a process with threads and CUDA may hang
    context.set_forkserver_preload(["in21k.train.stream.loader"])
    return context


def _start_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process ends its workers
    torch.set_num_threads(1)
