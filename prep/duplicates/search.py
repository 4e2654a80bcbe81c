"""All pairs of 64-bit hashes that differ in few bits, without comparing each with each.

Hashes are cut into more blocks than bits may differ, so a near pair agrees in some of the blocks, whichever bits
differ. For each choice of so many blocks, hashes are sorted by them and compared where they agree in them (Manku,
Jain and Das Sarma, Detecting Near-Duplicates for Web Crawling, 2007, section 3).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from math import comb
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]
_Indices = npt.NDArray[np.uint32]

CROWD = 1 << 12
"""How many targets a hash is compared with for one choice of blocks, which bounds the time where all are alike."""

_BITS = 64
_MOST_BLOCKS = 16
_MOST_KEY_BITS = 24
_AT_A_TIME = 1 << 18
"""Hashes that are compared at a time: what is computed of them stays in the cache."""


@dataclass(frozen=True, eq=False)
class Targets:
    """Hashes that others are compared with."""

    hashes: Hashes
    """uint64 [m]."""
    masks: tuple[int, ...] = (0,)
    """What they are combined with by exclusive or, one after the other; 0 leaves them as they are."""


@dataclass(frozen=True, eq=False)
class NearPairs:
    """Some near pairs, n of them."""

    left: npt.NDArray[np.int64]
    """int64 [n]: indices of the hashes."""
    right: npt.NDArray[np.int64]
    """int64 [n]: indices of the targets."""
    distances: npt.NDArray[np.uint8]
    """uint8 [n]: the number of bits that differ."""
    target: int
    """The number of the targets."""
    mask: int
    """The number of their mask."""
    crowded: int = 0
    """How many hashes agreed with more than `CROWD` targets, of which the rest was left out."""


@dataclass(frozen=True)
class Blocks:
    """A choice of blocks: `chosen` of the `count` that 64 bits are cut into."""

    count: int
    chosen: tuple[int, ...]
    most_key_bits: int = _MOST_KEY_BITS
    """Of which there is a table of all keys; fewer where hashes are few."""

    @cached_property
    def masks(self) -> list[int]:
        """The bits of each block."""
        bounds = [_BITS * at // self.count for at in range(self.count + 1)]
        return [(1 << end) - (1 << start) for start, end in pairwise(bounds)]

    @cached_property
    def key_bits(self) -> int:
        """The number of bits of a key."""
        return min(sum(self.masks[at].bit_count() for at in self.chosen), self.most_key_bits)

    def keys(self, hashes: Hashes) -> _Indices:
        """Return the bits of the chosen blocks of each hash as a number, uint32 [n]."""
        keys, width = np.zeros(len(hashes), np.uint64), 0
        for mask in (self.masks[at] for at in self.chosen):
            low, bits = (mask & -mask).bit_length() - 1, mask.bit_count()
            keys = keys << np.uint64(bits) | (hashes & np.uint64(mask)) >> np.uint64(low)
            width += bits
        return (keys >> np.uint64(width - self.key_bits)).astype(np.uint32)

    def are_first(self, differences: Hashes) -> npt.NDArray[np.bool_]:
        """Return, bool [n], whether these are the first blocks in which no bit differs."""
        first = np.ones(len(differences), np.bool_)
        for at in range(self.chosen[-1] + 1):
            is_equal = (differences & np.uint64(self.masks[at])) == 0
            first &= is_equal if at in self.chosen else ~is_equal
        return first


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Hashes sorted by their keys."""

    keys: _Indices
    order: _Indices
    hashes: Hashes

    @classmethod
    def by(cls, blocks: Blocks, hashes: Hashes) -> "_Sorted":
        packed = blocks.keys(hashes).astype(np.uint64) << np.uint64(32)
        packed |= np.arange(len(hashes), dtype=np.uint64)
        packed.sort()  # faster than an argsort, and the same everywhere where keys are equal
        order = packed.astype(np.uint32)
        return cls((packed >> np.uint64(32)).astype(np.uint32), order, hashes[order])


def choices(hashes: int, targets: int, distance: int) -> list[Blocks]:
    """Return the choices of blocks with which pairs of so many hashes and targets are found in the least time."""
    most_key_bits = min(targets.bit_length() + 1, _MOST_KEY_BITS)

    def seconds(count: int) -> float:
        key_bits = min(_BITS * (count - distance) // count, most_key_bits)
        sorting, comparing = 7e-8 * (hashes + targets), 1e-8 * hashes * targets / (1 << key_bits)
        return comb(count, distance) * (sorting + comparing)

    count = min(range(distance + 1, _MOST_BLOCKS + 1), key=seconds)
    return [Blocks(count, chosen, most_key_bits) for chosen in combinations(range(count), count - distance)]


def near_pairs(
    hashes: Hashes,
    targets: Sequence[Targets],
    distance: int,
    threads: int = 1,
    progress: Callable[[int], object] = lambda _done: None,
) -> Iterator[NearPairs]:
    """Yield all pairs of a hash and a target that differ in at most `distance` bits, each once for each mask.

    Memory grows by 60 bytes per hash and target, times the threads.

    Args:
        hashes: uint64 [n], n < 2^32.
        targets: what they are compared with. Where it is `hashes` itself, only pairs with left < right are found.
        distance: 0 to `parameters.MOST_DISTANCE`.
        threads: how many choices of blocks to work on at a time.
        progress: called with the number of choices done.
    """
    waiting: deque[Future[list[NearPairs]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for done, blocks in enumerate(choices(len(hashes), len(targets[0].hashes), distance)):
            waiting.append(pool.submit(_found_by, blocks, hashes, targets, distance))
            if len(waiting) > threads:
                yield from waiting.popleft().result()
                progress(done + 1 - threads)
        while waiting:
            yield from waiting.popleft().result()


def _found_by(blocks: Blocks, hashes: Hashes, targets: Sequence[Targets], distance: int) -> list[NearPairs]:
    """Return the pairs whose first equal blocks are these."""
    left = _Sorted.by(blocks, hashes)
    found = []
    for number, target in enumerate(targets):
        right = left if target.hashes is hashes else _Sorted.by(blocks, target.hashes)
        every_key = np.arange((1 << blocks.key_bits) + 1, dtype=np.uint32)
        starts = np.searchsorted(right.keys, every_key).astype(np.int64)
        for at, mask in enumerate(target.masks):
            comparison = _Comparison(blocks, left, right, starts, np.uint64(mask), distance)
            pieces = [comparison.pairs(start) for start in range(0, len(hashes), _AT_A_TIME)]
            rows, columns, distances = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
            found.append(NearPairs(rows, columns, distances, number, at, comparison.crowded()))
    return found


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Hashes and one mask of targets, sorted by the same keys."""

    blocks: Blocks
    left: _Sorted
    right: _Sorted
    starts: npt.NDArray[np.int64]
    """int64: where the targets of each key begin."""
    mask: np.uint64
    distance: int

    def crowded(self) -> int:
        """Return how many hashes have more targets of their key than they are compared with."""
        return int((self._counts(self.left.keys) > CROWD).sum())

    def pairs(self, start: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        """Return the pairs of the hashes sorted in from `start`, as many as are compared at a time."""
        chosen = slice(start, start + _AT_A_TIME)
        keys, hashes = self.left.keys[chosen], self.left.hashes[chosen] ^ self.mask
        first, counts = self.starts[keys ^ self._flipped], np.minimum(self._counts(keys), CROWD)
        found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))]
        rows, step = np.flatnonzero(counts), 0
        while len(rows):
            at = first[rows] + step
            differences = self.right.hashes[at] ^ hashes[rows]
            distances = np.bitwise_count(differences)
            near = np.flatnonzero(distances <= self.distance)
            if len(near):
                near = near[self.blocks.are_first(differences[near])]
                ends = self.left.order[start + rows[near]], self.right.order[at[near]]
                found.append((ends[0].astype(np.int64), ends[1].astype(np.int64), distances[near]))
            step += 1
            rows = rows[counts[rows] > step]
        left, right = (np.concatenate([piece[side] for piece in found]) for side in (0, 1))
        all_distances: npt.NDArray[np.uint8] = np.concatenate([piece[2] for piece in found])
        keep = left < right if self.right is self.left else slice(None)
        return left[keep], right[keep], all_distances[keep]

    @cached_property
    def _flipped(self) -> np.uint32:
        return np.uint32(self.blocks.keys(np.array([self.mask]))[0])

    def _counts(self, keys: _Indices) -> npt.NDArray[np.int64]:
        keys = keys ^ self._flipped
        return self.starts[keys + 1] - self.starts[keys]
