"""Who reads which samples when: pure functions of the shard lengths, the seed, the epoch and the number of ranks.

The samples of a split are numbered through all its shards in the manifest's order. The order of an epoch depends on
(shard lengths, seed, epoch) alone, and global step s takes the s-th run of `global_batch` positions of it. Ranks and
workers only divide a step among themselves, so a run that stopped on four GPUs goes on with eight and sees the same
global batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from in21k.train.arrays import IntArray
from in21k.train.errors import TrainError

WINDOW = 16
"""Shards that are mixed with each other: the bounded buffer of an epoch's order."""

BLOCK = 32
"""Consecutive samples of a shard that stay together, so that they are read in one range."""

PADDING = -1
"""The sample number of an empty place in a batch."""


@dataclass(frozen=True, eq=False)
class EpochOrder:
    """A permutation of all samples, kept as its N blocks: 12 million samples need 6 MB, not 100."""

    firsts: IntArray
    """int64 [N]: the number of each block's first sample."""
    ends: IntArray
    """int64 [N]: the position at which each block ends; the last one is the number of samples."""

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def samples(self, start: int, stop: int) -> IntArray:
        """Return int64 [stop - start]: the numbers of the samples at the positions `start` to `stop`."""
        positions = np.arange(start, stop, dtype=np.int64)
        blocks = np.searchsorted(self.ends, positions, side="right")
        begins = np.where(blocks > 0, self.ends[blocks - 1], 0)
        return self.firsts[blocks] + positions - begins


def epoch_order(
    shard_lengths: Sequence[int], seed: int, epoch: int, *, window: int = WINDOW, block: int = BLOCK
) -> EpochOrder:
    """Return the order in which an epoch visits the samples: a permutation of 0 to the number of samples - 1.

    Shards are permuted by (seed, epoch) and taken `window` at a time; within a window the blocks of `block` consecutive
    samples of a shard are shuffled. A batch so mixes shards, reads stay ranges, and few shards are open at a time.

    Args:
        shard_lengths: the number of samples in each shard.
        seed: not negative.
        epoch: not negative.
        window: shards mixed with each other.
        block: samples of a shard that stay together.
    """
    lengths = np.asarray(shard_lengths, np.int64)
    starts = np.cumsum(lengths) - lengths
    keys = np.random.PCG64(np.random.SeedSequence([seed, epoch]))  # its raw stream is the same in every numpy
    shards = _shuffled(np.arange(len(lengths)), keys)
    firsts, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for begin in range(0, len(shards), window):
        pieces = [np.arange(0, lengths[shard], block) for shard in shards[begin : begin + window]]
        members = np.repeat(shards[begin : begin + window], [len(piece) for piece in pieces])
        offsets = np.concatenate(pieces)
        order = _shuffled(np.arange(len(offsets)), keys)
        firsts.append((starts[members] + offsets)[order])
        counts.append(np.minimum(block, lengths[members] - offsets)[order])
    return EpochOrder(np.concatenate(firsts), np.cumsum(np.concatenate(counts)))


def steps_per_epoch(samples: int, global_batch: int) -> int:
    """Return the number of whole global batches in an epoch.

    The samples of the last, incomplete batch are left to the next epoch's order, in which they come anywhere.

    Raises:
        TrainError: there is no whole batch.
    """
    if global_batch < 1:
        raise TrainError(f"a batch size of {global_batch} is not possible; name at least 1")
    if not (steps := samples // global_batch):
        raise TrainError(
            f"a batch size of {global_batch} is more than the {samples} training samples; name a smaller one"
        )
    return steps


@dataclass(frozen=True)
class Slots:
    """The places of one batch on one rank: which sample fills each."""

    step: int
    """Global step, counted from the beginning of the run (of the pass, for validation)."""
    epoch: int
    start: int
    """The epoch's position of the first place; position and epoch seed a sample's augmentation."""
    samples: IntArray
    """int64 [B]: sample numbers; PADDING (-1) in the places that a short rank leaves empty."""


@dataclass(frozen=True)
class TrainPlan:
    """The steps of a run on one rank."""

    shard_lengths: tuple[int, ...]
    seed: int
    epochs: int
    global_batch: int
    """Images of a step over all ranks."""
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.global_batch % self.world_size:
            raise TrainError(
                f"a batch size of {self.global_batch} does not divide by {self.world_size} processes; name a multiple"
            )
        _ = self.steps_per_epoch

    @cached_property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, the same on every rank."""
        return steps_per_epoch(sum(self.shard_lengths), self.global_batch)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    @property
    def carried_over(self) -> int:
        """Samples an epoch that fill no whole batch and move on with the next epoch's order."""
        return sum(self.shard_lengths) - self.steps_per_epoch * self.global_batch

    @property
    def batch_size(self) -> int:
        """Images of a step on this rank."""
        return self.global_batch // self.world_size

    def slots(self, start_step: int, worker: int = 0, workers: int = 1) -> Iterator[Slots]:
        """Yield the batches of one loader worker from `start_step` to the end of the run.

        Worker w of W takes the steps start_step + w + i W: read in turn, the workers give all steps in order, whatever
        their number.
        """
        order, current = None, -1
        for step in range(start_step + worker, self.total_steps, workers):
            epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
            if order is None or epoch != current:
                order, current = epoch_order(self.shard_lengths, self.seed, epoch), epoch
            start = step_in_epoch * self.global_batch + self.rank * self.batch_size
            yield Slots(step, epoch, start, order.samples(start, start + self.batch_size))


@dataclass(frozen=True)
class EvalPlan:
    """One pass over a split in order: every sample once over any number of ranks, all in equally many steps."""

    total: int
    """Samples of the split."""
    batch_size: int
    """Places of a batch on one rank; batches hold the same samples however many ranks share them."""
    rank: int = 0
    world_size: int = 1

    @property
    def steps(self) -> int:
        """Steps of the pass, the same on every rank."""
        return -(-self.total // (self.batch_size * self.world_size))

    def slots(self, start_step: int = 0, worker: int = 0, workers: int = 1) -> Iterator[Slots]:
        """Yield the batches of one loader worker; places past the end of the split hold PADDING."""
        for step in range(start_step + worker, self.steps, workers):
            start = (step * self.world_size + self.rank) * self.batch_size
            samples = np.arange(start, start + self.batch_size, dtype=np.int64)
            yield Slots(step, 0, start, np.where(samples < self.total, samples, PADDING))


def _shuffled(values: IntArray, keys: np.random.PCG64) -> IntArray:
    """Return the values ordered by as many random 64-bit keys."""
    return values[np.argsort(keys.random_raw(len(values)), kind="stable")]
