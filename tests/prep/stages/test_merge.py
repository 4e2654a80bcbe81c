import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from in21k.prep.stages import merge
from in21k.prep.stages.merge import MergeOrder


@st.composite
def merges(draw):
    """A global order over parts, each of which holds its samples in that order without gaps."""
    parts = draw(st.lists(st.integers(0, 6), min_size=1, max_size=40))
    sizes = draw(st.lists(st.integers(1, 50), min_size=len(parts), max_size=len(parts)))
    ends, offsets = dict.fromkeys(range(7), 0), []
    for part, size in zip(parts, sizes, strict=True):
        offsets.append(ends[part])
        ends[part] += size
    return MergeOrder(
        np.array(parts, np.int32),
        np.array(offsets, np.int64),
        np.array(sizes, np.int32),
        np.array([0] * len(parts), np.int32),
        np.array([-1] * len(parts), np.int64),
        np.arange(len(parts), dtype=np.int32),
    )


@given(merges(), st.integers(0, 40), st.integers(1, 40))
def test_the_ranges_of_a_shard_cover_its_samples_exactly_and_once(order, start, length):
    start %= len(order)
    shard = order.slice(start, start + length)
    runs, run_of = shard.runs()
    covered = {(part, at) for part, offset, size in runs for at in range(offset, offset + size)}
    samples = list(zip(shard.parts.tolist(), shard.offsets.tolist(), shard.sizes.tolist(), strict=True))
    assert covered == {(part, at) for part, offset, size in samples for at in range(offset, offset + size)}
    parts = [run.part for run in runs]
    assert parts == sorted(set(parts))
    assert [runs[at].part for at in run_of] == shard.parts.tolist()


@given(merges(), st.integers(1, 41))
def test_slices_hold_every_sample_once_and_in_order(order, length):
    slices = [order.slice(start, start + length) for start in range(0, len(order), length)]
    assert [offset for each in slices for offset in each.offsets.tolist()] == order.offsets.tolist()
    assert [part for each in slices for part in each.parts.tolist()] == order.parts.tolist()


@pytest.mark.parametrize("held", [0, 5, 1 << 22])
def test_the_lowest_ranks_of_each_class_are_val_whatever_is_held_meanwhile(held, monkeypatch):
    """Sorting takes time, so it is done only when twice what is kept has come together."""
    sorts = []
    lowest = merge._lowest
    monkeypatch.setattr(merge, "_RANKS_HELD", held)
    monkeypatch.setattr(merge, "_lowest", lambda *ranks: sorts.append(1) or lowest(*ranks))
    ranks = np.random.default_rng(0).permutation(60).astype(np.int32)
    pieces = [(np.array([number % 2], np.int32), np.array([rank], np.int32)) for number, rank in enumerate(ranks)]
    limits = merge.val_limits(iter(pieces), 3, 4)
    assert limits.tolist() == [sorted(ranks[::2])[3] + 1, sorted(ranks[1::2])[3] + 1, 0]
    assert len(sorts) == {0: 1 + (60 - 8) // (25 - 8), 5: 1 + (60 - 8) // (30 - 8), 1 << 22: 1}[held]
