"""What overlaps with computation on a GPU, with a CUDA of our own that notes what it is asked."""

import gc
import mmap
import time
import weakref
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from processes import until
from streams import source_of, train_plan

from in21k.train.config.settings import Config, DataConfig
from in21k.train.data.interfaces import CacheOptions, ReadOptions
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.images import ops_gpu
from in21k.train.images.augment_draws import Augmentation
from in21k.train.stream.batch import Batch, BatchLabels
from in21k.train.stream.batch_stream import BatchStream, WaitClock
from in21k.train.stream.buffers import BatchRing, RingShape, page_locked
from in21k.train.stream.loader import _ring, open_stream
from in21k.train.stream.prefetch import AHEAD, on_device, passing_errors
from in21k.train.stream.source import read_options, train_source

CUDA = torch.device("cuda")


class Event:
    """The end of a copy, which comes when the test says so."""

    complete = False
    awaited = 0

    def record(self, stream: object) -> None:
        pass

    def query(self) -> bool:
        return Event.complete

    def synchronize(self) -> None:
        Event.awaited += 1


class Original:
    """A batch on the CPU that notes how it is copied."""

    def __init__(self, number: int, asked: list[bool]) -> None:
        self.number, self.asked = number, asked

    def to(self, device: torch.device, *, non_blocking: bool) -> SimpleNamespace:
        self.asked.append(non_blocking)
        return SimpleNamespace(number=self.number, tensors=lambda: [SimpleNamespace(record_stream=lambda stream: None)])


@pytest.fixture
def cuda(monkeypatch):
    monkeypatch.setattr(Event, "complete", False)
    monkeypatch.setattr(Event, "awaited", 0)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(wait_event=lambda event: None))


@pytest.mark.parametrize(("workers", "slots"), [(1, 6), (2, 5), (3, 4), (8, 4)])
def test_a_process_has_slots_for_what_it_prefetches_what_it_makes_and_its_share_of_what_is_held(
    dataset_folder, workers, slots
):
    source = source_of(dataset_folder)
    shape = _ring(source, train_plan(source, batch=8), workers).shape
    assert shape == RingShape(workers, slots, (8, 32, 32, 3))


def test_there_is_a_cache_only_where_one_is_named():
    assert read_options(DataConfig()) == ReadOptions(None)
    options = read_options(DataConfig(cache="cache", cache_size="2 GB", verify_digest=True))
    assert options == ReadOptions(CacheOptions("cache", 2 * 10**9), True)


@pytest.mark.parametrize(("device", "augments"), [("cpu", True), ("gpu", False)])
def test_either_the_loader_augments_or_the_gpu(dataset_folder, device, augments):
    config = Config()
    config = replace(config, data=replace(config.data, augment_device=device))
    source = train_source(open_dataset(dataset_folder), config)
    assert source.augmentation == (Augmentation(0, 0.5, 2, 9) if augments else None)
    assert source.decoding.crop_seed == 0


@pytest.mark.usefixtures("cuda")
def test_copies_run_ahead_and_originals_are_held_until_their_copy_is_complete():
    asked: list[bool] = []
    originals: list[weakref.ref[Original]] = []

    def batches():
        for number in range(6):
            batch = Original(number, asked)
            originals.append(weakref.ref(batch))
            yield batch
            del batch

    copies = on_device(BatchStream(batches(), lambda number: True), CUDA)
    assert [next(copies).number for _ in range(3)] == [0, 1, 2]
    assert len(originals) == 2 + AHEAD
    gc.collect()
    assert all(original() is not None for original in originals)
    Event.complete = True
    assert next(copies).number == 3
    gc.collect()
    assert [original() is not None for original in originals] == [False] * 4 + [True]
    assert [copy.number for copy in copies] == [4, 5]
    assert asked == [True] * 6


@pytest.mark.usefixtures("cuda")
def test_a_batch_that_is_there_does_not_wait_for_the_next_to_be_made():
    made: list[int] = []

    def batches():
        for number in range(4):
            made.append(number)
            yield Original(number, [])

    copies = on_device(BatchStream(batches(), lambda number: number == 2), CUDA)
    assert [(next(copies).number, len(made)) for _ in range(4)] == [(0, 1), (1, 3), (2, 3), (3, 4)]


def test_a_clock_counts_the_batches_that_are_waited_for_and_no_others(monkeypatch):
    hours = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(hours)))
    clock = WaitClock()
    stream = BatchStream((Original(number, []) for number in range(5)), lambda number: number in (1, 2), clock)
    assert [(batch.number, clock.seconds) for batch in stream] == [(0, 1), (1, 1), (2, 1), (3, 2), (4, 3)]
    assert clock.seconds == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_says_when_its_next_batch_is_there(dataset_folder, workers):
    source = source_of(dataset_folder)
    batches = open_stream(source, train_plan(source), workers=workers)
    for number, _ in enumerate(batches):
        if workers and number < 10:
            until(batches.has_next)
        else:
            assert not batches.has_next()
    assert number == 10


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(("fails", "awaited"), [(False, AHEAD), (True, 0)])
def test_where_a_loop_ends_early_the_copies_under_way_are_awaited_and_where_it_fails_nothing_is(fails, awaited):
    """Where another rank is gone, the GPU may never finish."""

    def batches():
        try:
            for number in range(6):
                yield Original(number, [])
        except RuntimeError:
            told.append("loader")
            raise

    def loop() -> None:
        with passing_errors(on_device(BatchStream(batches(), lambda number: True), CUDA)) as copies:
            next(copies)
            if fails:
                raise RuntimeError("another rank is gone")

    told: list[str] = []
    with pytest.raises(RuntimeError, match="another rank is gone") if fails else nullcontext():
        loop()
    assert Event.awaited == awaited
    assert told == (["loader"] if fails else [])


@pytest.fixture
def asked(monkeypatch) -> list[tuple[int, bool, bool]]:
    """The copies of tensors that were asked for: elements, whether page-locked, whether without waiting."""
    copies, locked = [], []

    def to(tensor: torch.Tensor, device: torch.device, *, non_blocking: bool = False) -> torch.Tensor:
        copies.append((tensor.numel(), any(tensor is each for each in locked), non_blocking))
        return tensor

    def pin_memory(tensor: torch.Tensor) -> torch.Tensor:
        locked.append(tensor.clone())
        return locked[-1]

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    return copies


def test_a_batch_moves_without_overlap_unless_asked_and_its_labels_then_leave_page_locked_memory(asked):
    labels = BatchLabels(torch.zeros(2), torch.zeros(2), (), 0, 0)
    labels.to(CUDA)
    Batch(torch.zeros(9), labels).to(CUDA)
    assert asked == [(2, False, False)] * 2 + [(9, False, False)] + [(2, False, False)] * 2
    asked.clear()
    Batch(torch.zeros(9), labels).to(CUDA, non_blocking=True)
    assert asked == [(9, False, True)] + [(2, True, True)] * 2


def test_what_the_gpu_augments_with_leaves_page_locked_memory_without_waiting(asked):
    ops_gpu.sources.cache_clear()
    ops_gpu.sources(8, 8, (1.0, 0.0, -2.0, 0.0, 1.0, 0.0), CUDA)
    ops_gpu.sources.cache_clear()
    ops_gpu.on_device(np.arange(3), CUDA)
    assert asked == [(64, True, True), (3, True, True)]


def test_a_ring_is_locked_within_the_block_and_released_without_waiting_for_the_gpu(monkeypatch):
    calls = []
    runtime = SimpleNamespace(
        cudaHostRegister=lambda address, size, flags: calls.append(("lock", address, size, flags)) or 0,
        cudaHostUnregister=lambda address: calls.append(("release", address)),
    )
    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append(("wait",)))
    ring = BatchRing(RingShape(2, 3, (4, 5)))
    address = ring.memory.ctypes.data
    with page_locked(ring, ring.shape.total):
        assert calls == [("lock", address, ring.shape.total, 0)]
    assert calls[1:] == [("release", address)]


@pytest.mark.parametrize(("width", "pages"), [(700, 1), (1000, 2), (2000, 3)])
def test_a_ring_has_a_page_for_its_flags_and_whole_pages_for_each_batch(width, pages):
    shape = RingShape(3, 4, (5, width))
    ring = BatchRing(shape)
    assert shape.batch_bytes == pages * mmap.PAGESIZE
    assert shape.total == (1 + 3 * 4 * pages) * mmap.PAGESIZE
    arrays = {(worker, slot): ring.array(worker, slot) for worker in range(3) for slot in range(4)}
    for number, array in enumerate(arrays.values()):
        array[:] = number + 1
    assert [array.min() for array in arrays.values()] == [array.max() for array in arrays.values()] == [*range(1, 13)]
    assert not ring.memory[: mmap.PAGESIZE].any()
    assert [[ring.take(worker) for _ in range(5)] for worker in range(3)] == [[0, 1, 2, 3, None]] * 3
