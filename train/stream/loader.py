"""The loader: a webdataset pipeline from a plan of batches to decoded, augmented images.

    plan → samples, read by offset → pixels and labels

The stages are generator functions. They run in the loader processes, which share nothing but the memory of the batches:
what each process reads follows from the plan and its own number.
"""

import os
import select
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
import webdataset
from torch.utils.data import DataLoader, get_worker_info

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.fork_server import fork_server, shared_memory_errors
from in21k.shards_manifest.stop_signals import signals_wait
from in21k.train.data.interfaces import ReaderFactory, Sample
from in21k.train.data.partition import BatchPlan, EvalPlan, FilePlan, TrainPlan
from in21k.train.errors import USER_ERRORS, TrainError
from in21k.train.stream.batch import Batch, BatchLabels, as_images
from in21k.train.stream.batch_stream import BatchStream, WaitClock
from in21k.train.stream.buffers import BatchPool, BatchRing, RingShape, page_locked
from in21k.train.stream.decoder import BatchDecoder
from in21k.train.stream.source import StreamSource

PREFETCH = 2
"""Batches that a loader process makes before they are asked for."""

_HELD = 3
"""Batches that the training process holds: the one of the step, and those on their way to the device."""

_PRELOADED = ("in21k.train.stream.loader",)
"""What the server of loader processes imports; a plain fork of a process with threads and CUDA may hang."""


Decode = Callable[[Iterable[tuple[BatchPlan, list[Sample | None]]]], Iterator[Any]]
"""Makes an item of the plan and the samples of each step."""


class RingBatch(NamedTuple):
    """A batch on its way from a loader process; its pixels stay in the ring, where that process wrote them."""

    labels: BatchLabels
    worker: int
    slot: int
    """Which of the process's slots in the ring."""
    shape: tuple[int, ...]
    """Of the pixels."""


class LoaderFailure(NamedTuple):
    """An error in a loader process, on its way to the training process, which raises it as a TrainError.

    As an exception, it would arrive with the process's traceback in its message.
    """

    message: str


def open_stream(
    source: StreamSource,
    plan: TrainPlan | EvalPlan | FilePlan,
    *,
    start_step: int = 0,
    workers: int = 0,
    pinned_bytes: int = 0,
    clock: WaitClock | None = None,
) -> BatchStream:
    """Return the batches of a plan in order, from a step on.

    In a training loop of your own:

        dataset = open_dataset("imagenet21k/")  # or s3://bucket/imagenet21k
        source = StreamSource(dataset.reader("train"), dataset.decoding())
        plan = TrainPlan(dataset.shard_lengths("train"), seed=0, epochs=1, global_batch=256)
        for batch in open_stream(source, plan, workers=4):
            images = batch.images.float() / 255  # [256, 3, H, W]
            targets = batch.labels.class_indices  # [256]
            ...

    The images of `batch` may be kept for as long as needed: their memory is reused only when nothing refers to it. As
    with any DataLoader, a script with loader processes has its code under `if __name__ == "__main__":`.

    Args:
        source: the samples, and how they become pixels.
        plan: which samples each step takes.
        start_step: the first step to read; nothing before it is touched.
        workers: loader processes; the batches do not depend on their number.
        pinned_bytes: the most memory to page-lock for batches, so that a GPU copies them while it computes; such copies
            must be complete when the stream ends.
        clock: counts how long batches are waited for.

    Raises:
        DatasetError: the data cannot be read, or have changed since they were opened.
        TrainError: a loader process died, or an image does not decode and the source is strict.
    """
    ring = _ring(source, plan, workers) if workers else None
    pipeline = _pipeline(source.open_reader, plan, start_step, partial(_decoded, source, ring))
    batches = _locked(pipeline, workers, ring, pinned_bytes)
    return BatchStream(batches, lambda number: ring is not None and ring.is_filled(number % workers), clock)


def open_items(
    open_reader: ReaderFactory, plan: TrainPlan | EvalPlan, decode: Decode, *, start_step: int = 0, workers: int = 0
) -> Iterator[Any]:
    """Return whatever is made of the samples of each step, in order, from a step on; for batches of other forms.

    Args:
        open_reader: opens readers of the samples, in the loader processes.
        plan: which samples each step takes.
        decode: makes an item of each step, in the loader processes, to which it is pickled.
        start_step: the first step to read.
        workers: loader processes; the items do not depend on their number.

    Raises:
        TrainError: a loader process died, or `decode` raised it; what else is expected of files becomes one.
    """
    return _unpacked(_loader(_pipeline(open_reader, plan, start_step, decode), workers), None)


def _pipeline(
    open_reader: ReaderFactory, plan: TrainPlan | EvalPlan | FilePlan, start_step: int, decode: Decode
) -> Any:
    return webdataset.DataPipeline(
        partial(_planned, plan, start_step), partial(_read, open_reader), decode, _failures_as_items
    )


def _ring(source: StreamSource, plan: TrainPlan | EvalPlan | FilePlan, workers: int) -> BatchRing:
    size, slots = source.largest_size, PREFETCH + 1 + -(-_HELD // workers)
    return BatchRing(RingShape(workers, slots, (plan.batch_size * source.rows, size, size, 3)))


def _locked(pipeline: Any, workers: int, ring: BatchRing | None, pinned_bytes: int) -> Generator[Batch]:
    with page_locked(ring, pinned_bytes):
        yield from _unpacked(_loader(pipeline, workers), ring)


def _loader(pipeline: Any, workers: int) -> "DataLoader[Any]":
    return DataLoader(
        pipeline,
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=partial(_start_worker, os.getpid()),
        multiprocessing_context=fork_server(_PRELOADED) if workers else None,
        generator=torch.Generator(),  # it draws a seed for its workers, which must not come from the model's randomness
    )


def _unpacked(loader: "DataLoader[Any]", ring: BatchRing | None) -> Generator[Any]:
    items: Any = None
    try:
        with signals_wait(), shared_memory_errors("pass --workers 0, or give the container more"):
            items = iter(loader)  # half started, its processes would miss what they are to share
        for item in items:
            if isinstance(item, LoaderFailure):
                raise TrainError(item.message)
            if isinstance(item, RingBatch):
                assert ring is not None
                item = Batch(as_images(ring.lend(item.worker, item.slot, item.shape)), item.labels)
            yield item
            del item  # or its memory would stay in use until the next one arrives
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainError("a loader process died, most likely for lack of memory; try fewer --workers") from error
    finally:  # a traceback may keep the iterator alive, and with it the loader processes
        if items is not None and loader.num_workers:
            items._shutdown_workers()


def _unchanged(item: Any) -> Any:
    return item


def _planned(plan: TrainPlan | EvalPlan | FilePlan, start_step: int) -> Iterator[BatchPlan]:
    info = get_worker_info()
    return plan.batches(start_step) if info is None else plan.batches(start_step, info.id, info.num_workers)


def _read(open_reader: ReaderFactory, plans: Iterable[BatchPlan]) -> Iterator[tuple[BatchPlan, list[Sample | None]]]:
    reader = open_reader()
    ahead: deque[tuple[BatchPlan, Sequence[Any]]] = deque()
    try:
        for plan in plans:
            ahead.append((plan, reader.request(np.sort(plan.samples) if plan.is_shuffled else plan.samples)))
            while ahead and not reader.reads_ahead:
                ready, requests = ahead.popleft()
                yield ready, _in_order(ready, reader.collect(requests))
        for ready, requests in ahead:
            yield ready, _in_order(ready, reader.collect(requests))
    finally:
        reader.close()


def _in_order(plan: BatchPlan, samples: list[Sample | None]) -> list[Sample | None]:
    """Return the samples of a batch in its plan's order; a shuffled one is read by number, a range at a time."""
    if not plan.is_shuffled:
        return samples
    ranks: list[int] = np.argsort(np.argsort(plan.samples)).tolist()
    return [samples[rank] for rank in ranks]


def _decoded(
    source: StreamSource, ring: BatchRing | None, batches: Iterable[tuple[BatchPlan, list[Sample | None]]]
) -> Iterator[Batch | RingBatch]:
    decoder = BatchDecoder(source.decoding, source.augmentation, names_samples=source.names_samples, clips=source.clips)
    info, pool = get_worker_info(), BatchPool()
    for plan, samples in batches:
        size = source.image_size(plan.epoch)
        shape = (len(samples) * source.rows, size, size, 3)
        slot = ring.take(info.id) if ring is not None and info is not None else None
        if ring is None or info is None or slot is None:
            pixels = pool.take(shape)
            yield Batch(as_images(pixels), decoder.decode(samples, plan, pixels))
            del pixels
        else:
            labels = decoder.decode(samples, plan, ring.array(info.id, slot, shape))
            ring.fill(info.id, slot)
            yield RingBatch(labels, info.id, slot, shape)


def _failures_as_items(batches: Iterable[Any]) -> Iterator[Any]:
    try:
        yield from batches
    except (*USER_ERRORS, OSError, pa.ArrowException) as error:
        yield LoaderFailure(one_line(error, longest=None))


def _start_worker(trainer: int, _: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process ends its loader processes
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(trainer,), daemon=True).start()


def _end_with(trainer: int) -> None:
    """Wait for the end of the training process, then end this one, which would outlive a trainer that was killed.

    PyTorch's own watch looks for another parent, and ours is the fork server, which in turn waits for its children.
    """
    try:
        descriptor = os.pidfd_open(trainer)
    except ProcessLookupError:
        os._exit(1)
    except (AttributeError, OSError):  # a system without pidfds
        return
    watch = select.poll()
    watch.register(descriptor, select.POLLIN)
    watch.poll()
    os._exit(1)
