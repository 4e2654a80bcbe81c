"""Threads instead of loader processes: images per second by the clock, and what they cost the training thread.

    python bench/bench_threads.py [--dataset FOLDER] [--samples N] [--rounds N]

The decoder releases Python's global lock, so threads could decode while another trains. Small operations on the CPU
stand in for the training thread, as many per batch as a ResNet50 step launches on a GPU: each takes the lock.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import torch
from bench_loader import make_inputs
from loader_peers import BATCH, Inputs, ours

from in21k.shards_manifest.manifest import read_manifest
from in21k.shards_manifest.storage.location import locate
from in21k.train.data.interfaces import Decoding
from in21k.train.data.partition import TrainPlan
from in21k.train.data.prepared.reader import ShardReaders
from in21k.train.images.augment_draws import Augmentation
from in21k.train.stream.buffers import BatchPool
from in21k.train.stream.decoder import BatchDecoder
from in21k.train.stream.loader import PREFETCH

OPERATIONS = 2000
"""Operations per step: forward, backward and optimizer."""


def threads(inputs: Inputs, *, augmented: bool, workers: int) -> Iterator[Any]:
    """Yield the batches of `workers` threads in order; each thread has a reader of its own."""
    location = locate(inputs.uri)
    readers = ShardReaders(location, read_manifest(location), "train")
    plan = TrainPlan(inputs.lengths, seed=0, epochs=1, global_batch=BATCH)
    decoder = BatchDecoder(Decoding(image_size=inputs.size), Augmentation(0, 0.5, 2, 9) if augmented else None)
    queues: list[Queue[Any]] = [Queue(PREFETCH) for _ in range(workers)]

    def decode(worker: int) -> None:
        reader, pool = readers(), BatchPool()
        for planned in plan.batches(0, worker, workers):
            pixels = pool.take((BATCH, inputs.size, inputs.size, 3))
            decoder.decode(reader.collect(reader.request(planned.samples)), planned, pixels)
            queues[worker].put(pixels)
            del pixels
        reader.close()

    for worker in range(workers):
        Thread(target=decode, args=(worker,), daemon=True).start()
    for step in range(plan.total_steps):
        yield queues[step % workers].get()


def operations() -> float:
    """Return the seconds that a step's small operations take."""
    values, began = torch.zeros(16), time.perf_counter()
    for _ in range(OPERATIONS):
        values.add_(1)
    return time.perf_counter() - began


def rate(batches: Iterator[Any]) -> float:
    """Return images per second by the clock, from the first batch on: processes are slow to start."""
    next(batches)
    began, images = time.perf_counter(), 0
    for batch in batches:
        images += len(batch)
    return images / (time.perf_counter() - began)


def cost(batches: Iterator[Any]) -> float:
    """Return the median seconds of a step's operations while a loader runs."""
    return statistics.median(operations() for _ in batches)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--samples", type=int, default=6144)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    makers: dict[str, Callable[..., Iterator[Any]]] = {"processes": ours, "threads": threads}
    with tempfile.TemporaryDirectory() as scratch:
        inputs = make_inputs(Path(scratch), options.dataset, options.samples)
        alone = statistics.median(operations() for _ in range(50))
        print("| loader | images/s, 1 | images/s, 2 | augmented, 1 | augmented, 2 | a step's operations beside 1 |")
        print("|---|---|---|---|---|---|")
        for name, make in makers.items():
            figures = []
            for augmented in (False, True):
                for workers in (1, 2):
                    found = [rate(make(inputs, augmented=augmented, workers=workers)) for _ in range(options.rounds)]
                    figures.append(statistics.median(found))
            beside = cost(make(inputs, augmented=False, workers=1)) / alone
            print(f"| {name} | {' | '.join(f'{figure:,.0f}' for figure in figures)} | {beside:.2f} × alone |")


if __name__ == "__main__":
    main()
