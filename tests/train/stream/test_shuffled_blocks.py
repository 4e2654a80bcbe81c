"""Blocks whose samples are shuffled, for mixing: other neighbors in each epoch, the same images, the same reads."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_dataset import write_dataset
from streams import AUGMENTATION, equal, source_of, train_plan

from in21k.train.data.partition import TrainPlan
from in21k.train.data.prepared.reader import ShardReader
from in21k.train.stream.loader import open_stream

LENGTHS = st.lists(st.integers(1, 90), min_size=1, max_size=12)


def samples_of(lengths, batch, world=1, **options) -> list[list[list[int]]]:
    """Of each step, the samples of each rank."""
    plans = [
        TrainPlan(tuple(lengths), seed=3, epochs=3, global_batch=batch, rank=rank, world_size=world, **options)
        for rank in range(world)
    ]
    return [
        [planned.samples.tolist() for planned in step] for step in zip(*(plan.batches() for plan in plans), strict=True)
    ]


@pytest.mark.guard
@given(LENGTHS, st.integers(1, 8), st.integers(1, 6), st.integers(1, 40))
def test_each_step_has_the_images_that_it_had_on_any_number_of_ranks(lengths, world, per_rank, block):
    batch = world * per_rank
    if sum(lengths) < batch:
        return
    (alone, *_), shuffled = zip(*samples_of(lengths, batch, block=block), strict=True), {}
    for ranks in (1, world):
        found = samples_of(lengths, batch, ranks, block=block, shuffled=True)
        shuffled[ranks] = [[sample for rank in step for sample in rank] for step in found]
    assert shuffled[1] == shuffled[world]
    assert [sorted(step) for step in shuffled[1]] == [sorted(step) for step in alone]


def test_blocks_stay_together():
    for (step,), (plain,) in zip(samples_of([320], 64, shuffled=True), samples_of([320], 64), strict=True):
        for start in (0, 32):
            assert sorted(step[start : start + 32]) == plain[start : start + 32]
            assert step[start : start + 32] != plain[start : start + 32]


def test_partners_change_with_the_epoch():
    """Otherwise an image would be mixed with the same one forever."""
    steps, pairs = samples_of([640], 64, shuffled=True), []
    for epoch in range(3):
        order = np.array([step[0] for step in steps[10 * epoch : 10 * epoch + 10]]).reshape(-1, 2)
        pairs.append({frozenset(pair) for pair in order.tolist()})
    assert len(pairs[0]) == 320
    assert len(pairs[0] & pairs[1]) < 30  # one in 31 is expected to come back
    assert len(pairs[1] & pairs[2]) < 30
    plain = samples_of([640], 64)
    assert {frozenset(pair) for pair in np.array(plain).reshape(-1, 2).tolist()} == {
        frozenset((at, at + 1)) for at in range(0, 640, 2)
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_has_the_samples_of_its_plan(dataset_folder, workers):
    source = source_of(dataset_folder, augmentation=AUGMENTATION)
    plan = train_plan(source, epochs=2, batch=12, shuffled=True)
    (everything,) = open_stream(source_of(dataset_folder), train_plan(source, batch=93))
    (order,) = train_plan(source, batch=93).batches()
    labels = dict(zip(order.samples.tolist(), everything.labels.class_indices.tolist(), strict=True))
    found = list(open_stream(source, plan, workers=workers))
    for batch, planned in zip(found, plan.batches(), strict=True):
        assert batch.labels.class_indices.tolist() == [labels[number] for number in planned.samples.tolist()]
    assert equal(list(open_stream(source, plan, start_step=9, workers=1)), found[9:])
    halves = [list(open_stream(source, train_plan(source, 2, 12, rank, 2, shuffled=True))) for rank in (0, 1)]
    for one, *parts in zip(found, *halves, strict=True):
        assert torch.equal(torch.cat([part.images for part in parts]), one.images)


def test_a_block_is_still_read_at_once(tmp_path, monkeypatch):
    folder, counts = write_dataset(tmp_path, train=(96, 64, 130, 10)), []

    def counted(reader, numbers, request=ShardReader.request):
        requests = request(reader, numbers)
        counts.append(len(requests))
        return requests

    monkeypatch.setattr(ShardReader, "request", counted)
    source = source_of(folder)
    for shuffled in (False, True):
        assert len(list(open_stream(source, train_plan(source, batch=300, shuffled=shuffled)))) == 1
    assert counts[0] >= counts[1] > 0
