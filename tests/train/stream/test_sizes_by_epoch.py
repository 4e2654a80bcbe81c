"""Batches whose size follows the epoch: the same with any loader processes and ranks, and when resumed."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from streams import AUGMENTATION, decoding_with, equal, source_of, stream, train_plan

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.config.sizes import schedule_of
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.stream.buffers import BatchPool, BatchRing, RingShape
from in21k.train.stream.loader import open_stream
from in21k.train.stream.source import StreamSource, train_source, val_source

STEPS = 93 // 8


@pytest.fixture(scope="module", params=["libjpeg", "linear"])
def growing(dataset_folder, request) -> StreamSource:
    source = decoding_with(source_of(dataset_folder, augmentation=AUGMENTATION), downscale=request.param)
    return replace(source, sizes=schedule_of("0:16, 1:20, 2:32"))


def test_an_epochs_batches_have_its_size(growing):
    sides = [batch.images.shape[2:] for batch in stream(growing, epochs=3)]
    assert sides == [(16, 16)] * STEPS + [(20, 20)] * STEPS + [(32, 32)] * STEPS


def test_loader_processes_and_ranks_see_the_same_batches_of_each_size(growing):
    alone = stream(growing, epochs=3)
    assert equal(stream(growing, epochs=3, workers=2), alone)
    halves = [stream(growing, epochs=3, rank=rank, world=2) for rank in (0, 1)]
    joined = [torch.cat([left.images, right.images]) for left, right in zip(*halves, strict=True)]
    assert all(torch.equal(both, one.images) for both, one in zip(joined, alone, strict=True))


@pytest.mark.parametrize("sizes", ["0:16, 1:20, 2:32", "0:32, 1:16"])
def test_batches_that_are_let_go_pass_through_the_same_slots_at_each_size(growing, sizes):
    source = replace(growing, sizes=schedule_of(sizes))
    digests = [
        [
            hashlib.sha256(batch.images.numpy().tobytes()).digest()
            for batch in open_stream(source, plan, workers=workers)
        ]
        for plan in [train_plan(source, epochs=3)]
        for workers in (0, 2)
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("start", [STEPS - 1, STEPS, STEPS + 4])
def test_a_stream_resumed_around_a_change_of_size_is_the_rest(growing, start):
    assert equal(stream(growing, epochs=3, start_step=start), stream(growing, epochs=3)[start:])


def test_the_samples_and_their_order_do_not_depend_on_the_sizes(growing):
    same = stream(replace(growing, sizes=None), epochs=3)
    for batch, other in zip(stream(growing, epochs=3), same, strict=True):
        assert torch.equal(batch.labels.class_indices, other.labels.class_indices)


def test_images_are_scaled_by_libjpeg_in_a_schedule_alone(dataset_folder):
    data = open_dataset(str(dataset_folder))
    one, several = (with_values(Config(), {"data.image_size": size}) for size in (16, "0:16, 1:24"))
    assert not train_source(data, one).decoding.downscale
    assert train_source(data, several).decoding.downscale == "libjpeg"
    assert (val_source(data, several).decoding.image_size, val_source(data, several).decoding.downscale) == (24, "")
    assert train_source(data, with_values(several, {"data.downscale": "linear"})).decoding.downscale == "linear"


def test_a_slot_holds_batches_of_any_size_up_to_the_largest():
    ring = BatchRing(RingShape(1, 2, (4, 32, 32, 3)))
    assert ring.take(0) == 0
    ring.array(0, 0, (4, 16, 16, 3))[:] = 7
    lent = ring.lend(0, 0, (4, 16, 16, 3))
    assert (lent.shape, lent.min(), lent.max()) == ((4, 16, 16, 3), 7, 7)
    assert not ring.array(0, 1).any()
    with pytest.raises(AssertionError):
        ring.array(0, 0, (8, 32, 32, 3))
    assert ring.take(0) == 1
    assert ring.take(0) is None
    del lent
    assert ring.take(0) == 0


def test_buffers_of_another_size_are_given_back():
    pool = BatchPool()
    small = pool.take((2, 16, 16, 3))
    before = small.ctypes.data
    del small
    assert pool.take((2, 16, 16, 3)).ctypes.data == before
    large = pool.take((2, 32, 32, 3))
    assert isinstance(large, np.ndarray)
    del large
    assert [buffer.shape for buffer in pool._free] == [(2, 32, 32, 3)]
