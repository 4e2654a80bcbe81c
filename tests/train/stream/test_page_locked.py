"""Page-locked memory: how much of a ring is locked, and when it is unlocked, with a made-up CUDA runtime."""

from collections.abc import Generator

import pytest
import torch
from streams import source_of, train_plan

from in21k.train.stream.buffers import BatchRing, RingShape, page_locked
from in21k.train.stream.loader import open_stream
from in21k.train.stream.prefetch import on_device, passing_errors

SHAPE = RingShape(workers=2, slots=3, batch=(4, 32, 32, 3))
PAGE = 4096


class Runtime:
    """What the CUDA runtime was asked for."""

    def __init__(self) -> None:
        self.locked: list[int] = []
        self.unlocked = 0

    def cudaHostRegister(self, address: int, size: int, flags: int) -> int:
        assert address % PAGE == 0
        self.locked.append(size)
        return 0

    def cudaHostUnregister(self, address: int) -> int:
        self.unlocked += 1
        return 0


@pytest.fixture
def runtime(monkeypatch) -> Runtime:
    made = Runtime()
    monkeypatch.setattr(torch.cuda, "cudart", lambda: made)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: pytest.fail("waits for the whole device"))
    return made


@pytest.mark.parametrize(
    ("most", "slots"), [(2**30, 6), (PAGE + 4 * 12288, 4), (PAGE + 2 * 12288 + 9000, 2), (12288, 0), (0, 0)]
)
def test_no_more_than_the_limit_is_locked_in_whole_slots(runtime, most, slots):
    assert SHAPE.batch_bytes == 12288
    with page_locked(BatchRing(SHAPE), most):
        assert runtime.locked == ([PAGE + slots * 12288] if slots else [])
    assert runtime.unlocked == (1 if slots else 0)


def test_the_slots_that_are_locked_are_the_first_of_each_loader_process():
    ring = BatchRing(SHAPE)
    start = ring.memory.ctypes.data
    at = {(w, s): ring.array(w, s).ctypes.data - start for w in range(2) for s in range(3)}
    assert sorted(at, key=at.__getitem__) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    assert (ring.take(0), ring.take(0)) == (0, 1)


def opened(folder, workers=1) -> Generator:
    source = source_of(folder)
    return open_stream(source, train_plan(source), workers=workers, pinned_bytes=2**30)


@pytest.mark.parametrize("steps", [1, 100], ids=["ended early", "to the end"])
def test_a_loop_that_ends_unlocks_the_memory(dataset_folder, runtime, steps):
    with passing_errors(on_device(opened(dataset_folder), torch.device("cpu"))) as batches:
        for _ in zip(range(steps), batches, strict=False):
            pass
    assert runtime.unlocked == len(runtime.locked) == 1


def test_a_loop_that_fails_leaves_the_memory_to_the_gpu_and_waits_for_nothing(dataset_folder, runtime):
    """A lost peer's all-reduce never ends; what waits for the device then never ends, either."""

    def fail() -> None:
        with passing_errors(on_device(opened(dataset_folder), torch.device("cpu"))) as batches:
            next(batches)
            raise RuntimeError("another rank is gone")

    with pytest.raises(RuntimeError, match="another rank is gone"):
        fail()
    assert len(runtime.locked) == 1
    assert runtime.unlocked == 0
