"""Every sample once, equally many steps, one order for any ranks and loader processes: checked index by index."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from in21k.train.data.partition import PADDING, EvalPlan, TrainPlan, epoch_order, steps_per_epoch
from in21k.train.errors import TrainError

LENGTHS = st.lists(st.integers(1, 90), min_size=1, max_size=25)
RANKS = st.integers(1, 64)
WORKERS = st.integers(0, 16)


def plan_of(lengths, seed=1, epochs=2, batch=8, rank=0, world=1) -> TrainPlan:
    return TrainPlan(
        shard_lengths=tuple(lengths), seed=seed, epochs=epochs, global_batch=batch, rank=rank, world_size=world
    )


def merged(plan, start=0, workers=0):
    """What a DataLoader makes of its loader processes: one batch from each in turn."""
    streams = [plan.batches(start, worker, max(workers, 1)) for worker in range(max(workers, 1))]
    while streams:
        for stream in list(streams):
            if (batch := next(stream, None)) is None:
                streams.remove(stream)
            else:
                yield batch


@given(LENGTHS, st.integers(0, 2**63 - 1), st.integers(0, 99), st.integers(1, 20), st.integers(1, 40))
def test_an_epoch_is_a_permutation(lengths, seed, epoch, window, block):
    order = epoch_order(lengths, seed, epoch, window=window, block=block)
    assert len(order) == sum(lengths)
    assert sorted(order.samples(0, len(order)).tolist()) == list(range(sum(lengths)))


def test_an_epoch_of_no_samples_is_empty():
    assert len(epoch_order([], 0, 0)) == 0


@given(LENGTHS, st.integers(0, 9), st.data())
def test_part_of_an_epochs_order_is_a_slice_of_it(lengths, seed, data):
    order = epoch_order(lengths, seed, 3)
    whole = order.samples(0, len(order))
    start = data.draw(st.integers(0, len(order)))
    stop = data.draw(st.integers(start, len(order)))
    assert order.samples(start, stop).tolist() == whole[start:stop].tolist()


@given(LENGTHS, st.integers(1, 5), st.integers(1, 40))
def test_few_shards_are_open_at_a_time(lengths, window, block):
    order = epoch_order(lengths, 0, 0, window=window, block=block)
    shards = np.searchsorted(np.cumsum(lengths), order.samples(0, len(order)), side="right").tolist()
    seen = list(dict.fromkeys(shards))
    for begin in range(0, len(seen), window):  # one window's shards are read before the next window's
        group = set(seen[begin : begin + window])
        positions = [position for position, shard in enumerate(shards) if shard in group]
        assert positions == list(range(positions[0], positions[-1] + 1))


def test_epochs_and_seeds_differ():
    orders = [epoch_order([100] * 20, seed, epoch).samples(0, 2000).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


PINNED = [8, 9, 10, 3, 4, 5, 6, 7, 11, 12, 13, 0, 1, 2, 14, 15, 16, 17]


def test_the_order_is_pinned():
    """A change to the order would break resuming every run in progress."""
    assert epoch_order([5, 9, 4], 7, 2, window=2, block=3).samples(0, 18).tolist() == PINNED


def test_a_batch_mixes_shards():
    order = epoch_order([1000] * 40, 0, 0)
    shards = {sample // 1000 for sample in order.samples(256, 512).tolist()}
    assert len(shards) >= 4


@given(LENGTHS, RANKS, WORKERS, st.integers(1, 6), st.integers(0, 9), st.integers(1, 3))
def test_ranks_and_loader_processes_only_divide_the_steps(lengths, world, workers, per_rank, seed, epochs):
    batch, total = world * per_rank, sum(lengths)
    if total < batch:
        return
    whole = [planned.samples.tolist() for planned in plan_of(lengths, seed, epochs, batch).batches()]
    ranks = [list(merged(plan_of(lengths, seed, epochs, batch, rank, world), 0, workers)) for rank in range(world)]
    assert {len(rank) for rank in ranks} == {epochs * (total // batch)}
    joined = [[sample for planned in step for sample in planned.samples.tolist()] for step in zip(*ranks, strict=True)]
    assert joined == whole
    assert [planned.step for planned in ranks[0]] == list(range(len(whole)))
    per_epoch = total // batch
    for epoch in range(epochs):
        seen = [sample for step in whole[epoch * per_epoch : (epoch + 1) * per_epoch] for sample in step]
        assert len(seen) == len(set(seen)) == per_epoch * batch


@given(LENGTHS, RANKS, WORKERS, WORKERS, st.integers(1, 3), st.data())
def test_a_resumed_run_reads_the_rest(lengths, world, workers, new_workers, per_rank, data):
    batch = world * per_rank
    if sum(lengths) < batch:
        return
    new_world = data.draw(st.sampled_from([count for count in range(1, 65) if batch % count == 0]))
    plan = plan_of(lengths, batch=batch, world=world)
    stop = data.draw(st.integers(0, plan.total_steps))

    def keys(world, workers, start, count):
        ranks = [merged(plan_of(lengths, batch=batch, rank=rank, world=world), start, workers) for rank in range(world)]
        return [
            [int(i) for planned in step for i in planned.samples] for step in islice(zip(*ranks, strict=True), count)
        ]

    whole = keys(1, 0, 0, plan.total_steps)
    assert keys(world, workers, 0, stop) + keys(new_world, new_workers, stop, plan.total_steps) == whole


@given(st.integers(1, 400), st.integers(1, 33), RANKS, WORKERS)
def test_validation_sees_each_sample_once(total, batch, world, workers):
    ranks = [list(merged(EvalPlan(total, batch, rank, world), 0, workers)) for rank in range(world)]
    assert {len(rank) for rank in ranks} == {EvalPlan(total, batch, 0, world).steps}
    samples = np.concatenate([planned.samples for rank in ranks for planned in rank])
    assert sorted(samples[samples != PADDING].tolist()) == list(range(total))


def test_batches_of_validation_hold_the_same_samples_on_any_number_of_ranks():
    def batches(world):
        found = [tuple(s.samples.tolist()) for r in range(world) for s in EvalPlan(100, 7, r, world).batches()]
        return sorted(batch for batch in found if max(batch) != PADDING)

    assert batches(1) == batches(2) == batches(3)


def test_impossible_batch_sizes_are_errors():
    with pytest.raises(TrainError, match="301 is more than the 300 training samples"):
        steps_per_epoch(300, 301)
    with pytest.raises(TrainError, match="batch size of 10 is not divisible by the 4 ranks"):
        plan_of([300], batch=10, world=4)
    assert plan_of([300], batch=16).carried_over == 300 % 16
