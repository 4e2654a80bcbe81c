"""This loader from a local S3 server, relative to the same images from disk; also with a delay before each request."""

import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from loader_peers import BATCH, Inputs, ours
from slow_proxy import slowed

from in21k.train.data.partition import BLOCK

BLOCKS = (BLOCK, 256)
"""Values of `data.block_samples`."""
TARGET = 0.95
"""Of S3 over disk."""

Timing = tuple[float, float, float]
"""Images per second by the clock and of CPU time, and the seconds to the first batch."""


@contextmanager
def on_free_cores() -> Iterator[None]:
    """Let processes that start in the block run on the cores that this process leaves free."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - own or own)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


@contextmanager
def s3_server(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve a folder's dataset with rclone on the free cores; yield the dataset's URI and the server's port."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
    from object_store import Server

    os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
    with on_free_cores():
        server = Server(folder)
    try:
        yield server.uri.format("dataset"), server.port
    finally:
        server.kill()


def from_s3(inputs: Inputs, rounds: int, latency: float) -> None:
    """Print this loader's speed on its one core from a local S3 server on the other cores, relative to that from disk.

    Args:
        inputs: the dataset on disk.
        rounds: over which the medians are taken.
        latency: milliseconds to add to each request in further rows; 0 for no such rows.
    """
    print("| in21k from | samples of a block | images/s by the clock | images/s of CPU time | first batch, s |", end="")
    print(" over disk, clock | over disk, CPU time | target |\n" + "|---" * 8 + "|")
    with ExitStack() as stack:
        uri, port = stack.enter_context(s3_server(inputs.dataset.parent))
        stores = {"disk": inputs, "S3": replace(inputs, uri=uri)}
        for delay in (0.0, latency) if latency else ():
            with on_free_cores():
                proxy = stack.enter_context(slowed(port, delay))
            stores[f"S3, {delay:g} ms added by a proxy"] = replace(inputs, uri=uri.replace(f":{port}", f":{proxy}"))
        rows = [(store, block) for block in BLOCKS for store in stores]
        found: dict[tuple[str, int], list[Timing]] = {row: [] for row in rows}
        for _ in range(rounds + 1):
            for store, block in rows:
                found[store, block].append(timed(stores[store], block))
    for store, block in rows:
        print_row(store, block, found[store, block][1:], found["disk", block][1:])  # the first round fills caches
    print()


def print_row(store: str, block: int, timings: list[Timing], disk: list[Timing]) -> None:
    """Print the medians of a store, and those of its ratios to the disk within each round."""
    clock, cpu, first = (statistics.median(column) for column in zip(*timings, strict=True))
    ratios = [
        statistics.median(there[of] / here[of] for there, here in zip(timings, disk, strict=True)) for of in (0, 1)
    ]
    reached = "" if store == "disk" else f"≥ {TARGET}, {'reached' if min(ratios) >= TARGET else 'missed'}"
    cells = [store, block, f"{clock:,.0f}", f"{cpu:,.0f}", f"{first:.2f}", *(f"{each:.3f}" for each in ratios), reached]
    print(f"| {' | '.join(map(str, cells))} |")


def timed(inputs: Inputs, block: int) -> Timing:
    """Return this loader's images per second by the clock and of CPU time, and the seconds to the first batch.

    An epoch's length is timed from the middle of one epoch to the middle of the next, so that as much is read ahead at
    its end as at its beginning.
    """
    began, steps = time.perf_counter(), inputs.samples // BATCH
    with closing(ours(inputs, block=block, epochs=2)) as stream:
        next(stream)
        first = time.perf_counter() - began
        for _ in range(steps // 2 - 1):
            next(stream)
        clock, cpu = time.perf_counter(), time.process_time()
        images = sum(len(next(stream)) for _ in range(steps))
        return images / (time.perf_counter() - clock), images / (time.process_time() - cpu), first
