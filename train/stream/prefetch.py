"""Batches on the device before they are needed: copied on a stream of their own, beside the computations."""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import torch

from in21k.train.stream.loader import Batch

AHEAD = 2
"""Batches on the device or on their way there, beside the one in use."""


def on_device(batches: Generator[Batch], device: torch.device) -> Generator[Batch]:
    """Yield the batches with their tensors on the device, in order.

    Args:
        batches: on the CPU, page-locked for copies that run beside computations; closed with this generator.
        device: for a CPU they are yielded as they are.
    """
    with closing(batches):
        yield from _copied(batches, device) if device.type == "cuda" else batches


def _copied(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches copied on a side stream; each one on the CPU is held until its copy is done."""
    side: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: deque[tuple[Batch, Batch, Any]] = deque()
    copying: deque[tuple[Batch, Any]] = deque()
    source = iter(batches)
    while True:
        while len(ahead) < AHEAD and (batch := next(source, None)) is not None:
            ahead.append((batch, *_copy(batch, device, side)))
            del batch
        if not ahead:
            return
        original, copy, done = ahead.popleft()
        copying.append((original, done))
        del original
        while copying and copying[0][1].query():
            copying.popleft()
        current = torch.cuda.current_stream(device)
        current.wait_event(done)
        for tensor in (copy.images, copy.class_indices, copy.valid):
            tensor.record_stream(current)  # or the allocator would give its memory to the side stream's next copy
        yield copy
        del copy


def _copy(batch: Batch, device: torch.device, side: torch.cuda.Stream) -> tuple[Batch, Any]:
    with torch.cuda.stream(side):
        copy = batch._replace(
            images=batch.images.to(device, non_blocking=True),
            class_indices=batch.class_indices.to(device, non_blocking=True),
            valid=batch.valid.to(device, non_blocking=True),
        )
        done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(side)
    return copy, done
