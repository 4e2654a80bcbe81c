"""The batches of a plan on the device: the loader with page-locked memory, and the copies ahead."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch

from in21k.shards_manifest.sizes import parse_size
from in21k.train.config.settings import Config
from in21k.train.data.partition import EvalPlan, FilePlan, TrainPlan
from in21k.train.stream.batch import Batch
from in21k.train.stream.batch_stream import WaitClock
from in21k.train.stream.loader import open_stream
from in21k.train.stream.prefetch import on_device, passing_errors
from in21k.train.stream.source import StreamSource


@contextmanager
def device_stream(
    source: StreamSource,
    plan: TrainPlan | EvalPlan | FilePlan,
    config: Config,
    device: torch.device,
    *,
    start_step: int = 0,
    clock: WaitClock | None = None,
) -> Iterator[Generator[Batch]]:
    """Give the batches of a plan in order, with their tensors on the device, for the block.

    Args:
        source: the samples, and how they become pixels.
        plan: which samples each step takes.
        config: its loader processes (no more than an evaluation has steps), and how much memory may be page-locked.
        device: a CPU leaves the batches where they are.
        start_step: the first step to read.
        clock: counts how long batches are waited for.

    Raises:
        DatasetError: `data.pinned_bytes` is no size.
        TrainError: as for `open_stream`.
    """
    workers = config.run.workers if isinstance(plan, TrainPlan) else min(config.run.workers, plan.steps)
    pinned = parse_size(config.data.pinned_bytes) if device.type == "cuda" else 0
    loaded = open_stream(source, plan, start_step=start_step, workers=workers, pinned_bytes=pinned, clock=clock)
    with passing_errors(on_device(loaded, device)) as batches:
        yield batches
