"""The search for near hashes against the slow way, which compares each with each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from in21k.prep.duplicates import search
from in21k.prep.duplicates.search import Blocks, Targets, choices, near_pairs

MASK = 0xF85763DA1A222C22
words = st.integers(0, 2**64 - 1)


def slow(hashes, targets, mask, distance):
    apart = np.bitwise_count(hashes[:, None] ^ targets[None] ^ np.uint64(mask))
    return {(i, j, int(apart[i, j])) for i, j in np.argwhere(apart <= distance).tolist()}


def found(hashes, targets, distance, threads=1):
    """Return the pairs by target and mask; none may come twice."""
    pairs: dict[tuple[int, int], list] = {}
    for near in near_pairs(hashes, targets, distance, threads):
        rows = zip(near.left.tolist(), near.right.tolist(), near.distances.tolist(), strict=True)
        pairs.setdefault((near.target, near.mask), []).extend(rows)
    assert all(len(set(rows)) == len(rows) for rows in pairs.values())
    return {which: set(rows) for which, rows in pairs.items()}


@st.composite
def clusters(draw):
    """Hashes, many of them a few bits apart or equal, and mirrored ones among them."""
    centers = draw(st.lists(words, min_size=1, max_size=6))
    changes = st.lists(st.integers(0, 63), max_size=9).map(lambda bits: sum(1 << bit for bit in set(bits)))
    drawn = st.tuples(st.sampled_from(centers), changes, st.sampled_from([0, 0, MASK]))
    return np.array([a ^ b ^ c for a, b, c in draw(st.lists(drawn, min_size=1, max_size=40))], np.uint64)


@settings(max_examples=60, deadline=None)
@given(clusters(), clusters(), st.integers(0, 12), st.integers(1, 2))
def test_the_search_finds_what_comparing_each_with_each_finds(hashes, others, distance, threads):
    targets = [Targets(hashes, (0, MASK)), Targets(others, (0, MASK))]
    expected = {
        (at, number): {pair for pair in slow(hashes, target.hashes, mask, distance) if at == 1 or pair[0] < pair[1]}
        for at, target in enumerate(targets)
        for number, mask in enumerate(target.masks)
    }
    assert found(hashes, targets, distance, threads) == expected


@pytest.mark.parametrize("count", [10, 10_000, 14_000_000])
@pytest.mark.parametrize("distance", [0, 1, 4, 8, 12])
def test_blocks_are_enough_for_any_bits_that_differ(count, distance):
    plan = choices(count, count, distance)
    assert sum(map(int.bit_count, plan[0].masks)) == 64
    rng = np.random.default_rng(0)
    for _ in range(50):
        change = np.uint64(sum(1 << int(bit) for bit in rng.choice(64, distance, replace=False)))
        assert sum(bool(blocks.are_first(np.array([change]))[0]) for blocks in plan) == 1


def test_keys_are_the_bits_of_their_blocks():
    (key,) = Blocks(4, (0, 3)).keys(np.array([0x8001_0000_0000_FFFE], np.uint64)).tolist()
    assert key == 0xFFFE_8001 >> 8


def test_hashes_that_are_all_alike_are_not_all_compared(monkeypatch):
    monkeypatch.setattr(search, "CROWD", 5)
    hashes = np.arange(64, dtype=np.uint64) << np.uint64(3)
    pairs = list(near_pairs(hashes, [Targets(hashes)], 4))
    assert max(near.crowded for near in pairs) == 64
    assert sum(len(near.left) for near in pairs) <= 64 * 5 * len(choices(64, 64, 4))
