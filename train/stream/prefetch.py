"""Batches on the device before they are needed, copied on a CUDA stream of their own while the network computes."""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from in21k.train.stream.batch import Batch
from in21k.train.stream.batch_stream import BatchStream

AHEAD = 2
"""Batches on the device or on their way there: the one that the loop takes next, and those after it."""


def on_device(batches: BatchStream, device: torch.device) -> Generator[Batch]:
    """Yield the batches in order, with their tensors on the device.

    Args:
        batches: on the CPU, in page-locked memory if copies are to overlap with computation; closed with this
            generator.
        device: a CPU leaves the batches as they are.
    """
    if device.type != "cuda":
        yield from batches
        return
    with passing_errors(batches):
        yield from _copied(batches, device)


@contextmanager
def passing_errors(batches: Generator[Batch]) -> Iterator[Generator[Batch]]:
    """Close a stream after the block; an error in the block is raised in the stream, too.

    So the stream can tell a loop that failed from one that ended: after a failure, the GPU may never finish.
    """
    try:
        yield batches
    except BaseException as error:
        with suppress(BaseException):
            batches.throw(error)
        raise
    finally:
        batches.close()


def _copied(batches: BatchStream, device: torch.device) -> Iterator[Batch]:
    """Yield batches copied on a side stream; each original is held until its copy is complete.

    Copies run ahead with batches that are there: no batch that is on the device waits for the next one to be made.

    Where the loop ends early, the copies under way are awaited, and nothing else; where it fails, not even those.
    """
    side: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: deque[tuple[Batch, Batch, Any]] = deque()
    copying: deque[tuple[Batch, Any]] = deque()
    try:
        while True:
            while not ahead or (len(ahead) < AHEAD and batches.has_next()):
                if (batch := next(batches, None)) is None:
                    break
                ahead.append((batch, *_copy(batch, device, side)))
                del batch
            if not ahead:
                break
            original, copy, done = ahead.popleft()
            copying.append((original, done))
            del original
            while copying and copying[0][1].query():
                copying.popleft()
            _hand_over(copy, done, device)
            yield copy
            del copy
    except GeneratorExit:
        _await([*(done for _, done in copying), *(done for *_, done in ahead)])
        raise
    _await([done for _, done in copying])


def _hand_over(copy: Batch, done: Any, device: torch.device) -> None:
    """Let the current stream wait for a copy, and own its memory."""
    current = torch.cuda.current_stream(device)
    current.wait_event(done)
    for tensor in copy.tensors():
        tensor.record_stream(current)  # or the allocator would give its memory to the side stream's next copy


def _await(events: list[Any]) -> None:
    for event in events:
        event.synchronize()


def _copy(batch: Batch, device: torch.device, side: torch.cuda.Stream) -> tuple[Batch, Any]:
    with torch.cuda.stream(side):
        copy = batch.to(device, non_blocking=True)
        done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(side)
    return copy, done
