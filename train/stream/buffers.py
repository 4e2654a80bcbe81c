"""Memory for batches, reused: fresh memory costs a page fault for every 4 KB of every batch.

A buffer is handed out as an array, and is free again once nothing refers to that array's memory. So no batch is
overwritten while anything holds it, or a view of it; holding many batches only means that the next ones take fresh
memory.
"""

import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
import torch

from in21k.shards_manifest.images.decode import Pixels

_FREE, _TAKEN, _FILLED, _LENT = range(4)
"""What a slot's flag says."""

_LEFT_LOCKED: list["BatchRing"] = []
"""Rings that a failed loop left to the GPU."""


class BatchPool:
    """Buffers of batches within one process."""

    def __init__(self) -> None:
        self._free: list[Pixels] = []

    def take(self, shape: Sequence[int]) -> Pixels:
        """Return an uninitialized batch of this shape; its memory is free again when the array is gone.

        Free buffers of another shape are given back to the system.
        """
        self._free = [buffer for buffer in self._free if buffer.shape == tuple(shape)]  # the others' time is over
        buffer = self._free.pop() if self._free else np.empty(shape, np.uint8)
        return _returning(buffer, lambda: self._free.append(buffer))


@dataclass(frozen=True)
class RingShape:
    """How many slots a ring has, and the shape of the largest batch that each holds."""

    workers: int
    """Loader processes."""
    slots: int
    """Slots per loader process."""
    batch: tuple[int, ...]

    @property
    def batch_bytes(self) -> int:
        """Bytes of one batch, rounded up to whole pages."""
        return -(-int(np.prod(self.batch)) // mmap.PAGESIZE) * mmap.PAGESIZE

    @property
    def total(self) -> int:
        """Bytes of all batches, and of the flags before them."""
        flags = -(-self.workers * self.slots // mmap.PAGESIZE) * mmap.PAGESIZE
        return flags + self.workers * self.slots * self.batch_bytes

    def within(self, most: int) -> int:
        """Return the bytes of the flags and of as many whole batches as fit into `most` bytes; 0 if none does."""
        batches = self.workers * self.slots
        flags = self.total - batches * self.batch_bytes
        fitting = min((most - flags) // self.batch_bytes, batches)
        return flags + fitting * self.batch_bytes if fitting > 0 else 0


class BatchRing:
    """Slots that loader processes fill and the training process reads, with no copy in between.

    The memory has no name in any file system, so it disappears with the processes, however they end. Each slot has a
    flag. Only its loader process changes it until the slot is filled, and only the training process from then until the
    slot is free, so no lock is needed.
    """

    def __init__(self, shape: RingShape, descriptor: int | None = None) -> None:
        """Create the memory, or map that of a file descriptor."""
        self.shape = shape
        if descriptor is None:
            descriptor = _nameless_file()
            os.truncate(descriptor, shape.total)
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, shape.total)
        slots = shape.workers * shape.slots
        self._flags = np.frombuffer(self._memory, np.uint8, slots).reshape(shape.workers, shape.slots)
        self._first = shape.total - slots * shape.batch_bytes
        weakref.finalize(self, os.close, descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        return _attached, (self.shape, DupFd(self._descriptor))

    def take(self, worker: int) -> int | None:
        """Return a free slot of a loader process and mark it as used; None if all are in use."""
        free = np.flatnonzero(self._flags[worker] == _FREE)
        if not len(free):
            return None
        self._flags[worker, free[0]] = _TAKEN
        return int(free[0])

    def fill(self, worker: int, slot: int) -> None:
        """Mark a slot as filled; its loader process sends word of it at once."""
        self._flags[worker, slot] = _FILLED

    def is_filled(self, worker: int) -> bool:
        """Return whether a loader process has filled a slot that was not lent yet."""
        return bool((self._flags[worker] == _FILLED).any())

    def array(self, worker: int, slot: int, shape: tuple[int, ...] | None = None) -> Pixels:
        """Return a slot's batch, for its loader process to fill.

        Args:
            worker: the loader process.
            slot: one of its slots.
            shape: of the batch, no larger than the ring's, which it is by default.
        """
        shape = shape or self.shape.batch
        assert math.prod(shape) <= self.shape.batch_bytes, "a batch would reach into the next slot"
        # slots of one number are neighbors, so that the first of each process are in the part that is page-locked
        start = self._first + (slot * self.shape.workers + worker) * self.shape.batch_bytes
        return np.frombuffer(self._memory, np.uint8, math.prod(shape), start).reshape(shape)

    def lend(self, worker: int, slot: int, shape: tuple[int, ...] | None = None) -> Pixels:
        """Return a slot's filled batch, as `array` does; the slot is free again when the array is gone."""

        def give_back() -> None:
            """Mark the slot as free."""
            self._flags[worker, slot] = _FREE

        self._flags[worker, slot] = _LENT
        return _returning(self.array(worker, slot, shape), give_back)

    @property
    def memory(self) -> Pixels:
        """The whole of it: uint8 [total]."""
        return np.frombuffer(self._memory, np.uint8)


def _returning(buffer: Pixels, give_back: Any) -> Pixels:
    """Return a view of a buffer; `give_back` is called when it is gone."""
    # Not a slice: slices of slices refer to the innermost array alone, which is the buffer itself.
    holder = _Lease(buffer)
    lent = np.asarray(holder)
    weakref.finalize(holder, give_back).atexit = False
    return lent


class _Lease:
    """What an array over a buffer, and every view of that array, refers to while it lives."""

    def __init__(self, buffer: Pixels) -> None:
        self._buffer = buffer
        self.__array_interface__ = buffer.__array_interface__


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("in21k-batches", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _attached(shape: RingShape, descriptor: Any) -> BatchRing:
    return BatchRing(shape, descriptor.detach())


@contextmanager
def page_locked(ring: BatchRing | None, most: int) -> Iterator[None]:
    """Lock a ring's memory within the block, so that copies to a GPU overlap with computation.

    Where the limit or the system allows no more locked memory, copies are slower but otherwise the same. A block that
    fails leaves the memory locked, and in place, to the end of the process: the GPU may still read from it, and to wait
    for that could take forever if another rank is gone.

    Args:
        ring: None does nothing.
        most: bytes to lock; only whole slots are locked.
    """
    size = ring.shape.within(most) if ring is not None else 0
    if ring is None or not size:
        yield
        return
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    address = ring.memory.ctypes.data
    is_locked = int(runtime.cudaHostRegister(address, size, 0)) == 0
    if not is_locked:
        with suppress(RuntimeError):  # CUDA reports its last failure to the next kernel launch, whichever that is
            torch.ones(1, device="cuda")
    failed = True
    try:
        yield
        failed = False
    except GeneratorExit:  # the loop over the batches ended early
        failed = False
        raise
    finally:
        if failed:
            _LEFT_LOCKED.append(ring)
        elif is_locked:
            runtime.cudaHostUnregister(address)
