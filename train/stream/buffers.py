"""Memory for batches, used again and again: fresh memory costs a page fault for every 4 KB of every batch.

A buffer is handed out as a tensor, and is free when nothing refers to that tensor's memory any more. So no batch is
overwritten while anyone holds it, or a view of it; who holds many only makes the next ones come from fresh memory.
"""

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

from in21k.train.arrays import Pixels


class BatchPool:
    """Buffers of one process."""

    def __init__(self) -> None:
        self._free: list[Pixels] = []

    def take(self, shape: Sequence[int]) -> Pixels:
        """Return a batch of this shape, its content undefined; its memory is free when the array is gone."""
        fits = next((at for at, buffer in enumerate(self._free) if buffer.shape == tuple(shape)), None)
        buffer = np.empty(shape, np.uint8) if fits is None else self._free.pop(fits)
        return _returning(buffer, lambda: self._free.append(buffer))


@dataclass(frozen=True)
class RingShape:
    """How many buffers a ring has, and of what shape."""

    workers: int
    slots: int
    """Buffers of each worker."""
    batch: tuple[int, ...]
    """The shape of one batch."""

    @property
    def batch_bytes(self) -> int:
        """Bytes of one batch, up to the next page."""
        return -(-int(np.prod(self.batch)) // mmap.PAGESIZE) * mmap.PAGESIZE

    @property
    def total(self) -> int:
        """Bytes of all batches, and a page with a flag for each."""
        flags = -(-self.workers * self.slots // mmap.PAGESIZE) * mmap.PAGESIZE
        return flags + self.workers * self.slots * self.batch_bytes


class BatchRing:
    """Buffers that loader processes fill and the training process reads, without a copy between them.

    The memory has no name in any file system, so it ends with the processes, however they end. Each buffer has one
    flag: its worker sets it, the training process clears it, so no lock is needed.
    """

    def __init__(self, shape: RingShape, descriptor: int | None = None) -> None:
        """Create the memory, or attach to that of a descriptor."""
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
        """Return the number of a free buffer of a worker and mark it as used; None where there is none."""
        free = np.flatnonzero(self._flags[worker] == 0)
        if not len(free):
            return None
        self._flags[worker, free[0]] = 1
        return int(free[0])

    def array(self, worker: int, slot: int) -> Pixels:
        """Return a buffer, to be filled by its worker."""
        start = self._first + (worker * self.shape.slots + slot) * self.shape.batch_bytes
        count = int(np.prod(self.shape.batch))
        return np.frombuffer(self._memory, np.uint8, count, start).reshape(self.shape.batch)

    def lend(self, worker: int, slot: int) -> Pixels:
        """Return a filled buffer, which is free again when the array is gone."""

        def give_back() -> None:
            self._flags[worker, slot] = 0

        return _returning(self.array(worker, slot), give_back)

    @property
    def memory(self) -> Pixels:
        """All of it."""
        return np.frombuffer(self._memory, np.uint8)


def as_images(pixels: Pixels) -> torch.Tensor:
    """Return uint8 [B, H, W, 3] as a tensor [B, 3, H, W] of the same memory, which it keeps in use."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _returning(buffer: Pixels, give_back: Any) -> Pixels:
    """Return a view of a buffer that calls `give_back` when it is gone."""
    # Not a slice: slices of slices refer to the innermost array alone, which is the buffer itself.
    holder = _Lease(buffer)
    lent = np.asarray(holder)
    weakref.finalize(holder, give_back).atexit = False
    return lent


class _Lease:
    """What an array over a buffer refers to as long as it, or any view of it, lives."""

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
def page_locked(ring: BatchRing | None) -> Iterator[None]:
    """Lock a ring's memory within the block, so that copies to a GPU run beside its computations; None for nothing.

    Where the system allows no more locked memory, copies are slower and otherwise the same.
    """
    if ring is None:
        yield
        return
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    address, size = ring.memory.ctypes.data, ring.shape.total
    is_locked = int(runtime.cudaHostRegister(address, size, 0)) == 0
    if not is_locked:
        with suppress(RuntimeError):  # CUDA tells its last failure to the next kernel that is started, whatever it is
            torch.ones(1, device="cuda")
    try:
        yield
    finally:
        if is_locked:
            torch.cuda.synchronize()
            runtime.cudaHostUnregister(address)
