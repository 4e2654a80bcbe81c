"""Which samples each step takes: a pure function of the shard lengths, the seed, the epoch and the ranks.

The samples of a split are numbered consecutively through its shards, in the manifest's order. An epoch's order depends
on (shard lengths, seed, epoch, block) alone, and its step s takes the positions from s times `global_batch` on. Ranks
and loader processes merely divide the steps among themselves, so a run that stopped on four GPUs continues on eight
with the same global batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from in21k.train.arrays import IntArray
from in21k.train.errors import TrainError

WINDOW = 16
"""Shards that are shuffled together, which bounds how many are open at a time."""

BLOCK = 32
"""Consecutive samples of a shard that stay together by default, so that one range read fetches them."""

_WITHIN_BLOCKS = 1 << 16
"""Tells the random numbers that shuffle blocks from all others of (seed, epoch)."""

PADDING = -1
"""Stands for a sample number where a batch has no sample: past the end of the split, in the last batches of a pass."""


@dataclass(frozen=True, eq=False)
class EpochOrder:
    """The order in which an epoch visits the samples: a permutation of their numbers.

    It is kept as N blocks of consecutive samples: 12 million samples take 6 MB instead of 100.
    """

    firsts: IntArray
    """int64 [N]: number of each block's first sample."""
    ends: IntArray
    """int64 [N]: position at which each block ends, exclusive; the last is the number of samples."""

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def samples(self, start: int, stop: int) -> IntArray:
        """Return int64 [stop - start]: the numbers of the samples at positions `start` to `stop`, exclusive."""
        positions = np.arange(start, stop, dtype=np.int64)
        blocks = np.searchsorted(self.ends, positions, side="right")
        begins = np.where(blocks > 0, self.ends[blocks - 1], 0)
        return self.firsts[blocks] + positions - begins

    def shuffled(self, start: int, stop: int, keys: npt.NDArray[np.uint64]) -> IntArray:
        """Return the same with the samples of each block shuffled among themselves, by a random key per position."""
        blocks = np.searchsorted(self.ends, np.arange(start, stop, dtype=np.int64), side="right")
        return self.samples(start, stop)[np.lexsort((keys, blocks))]


def epoch_order(
    shard_lengths: Sequence[int], seed: int, epoch: int, *, window: int = WINDOW, block: int = BLOCK
) -> EpochOrder:
    """Return the order in which an epoch visits the samples.

    Shards are permuted by (seed, epoch) and taken `window` at a time; within a window, blocks of `block` consecutive
    samples are shuffled. So a batch mixes shards, reads remain range reads, and few shards are open at a time.

    Args:
        shard_lengths: number of samples in each shard.
        seed: not negative.
        epoch: not negative.
        window: shards that are shuffled together.
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
    """Return the number of complete global batches in an epoch.

    The samples that would make an incomplete last batch sit this epoch out; the next one shuffles them in.

    Raises:
        TrainError: there is not one complete batch.
    """
    if global_batch < 1:
        raise TrainError(f"a batch size of {global_batch} is not possible; give at least 1")
    if not (steps := samples // global_batch):
        raise TrainError(
            f"a batch size of {global_batch} is more than the {samples} training samples; give a smaller one"
        )
    return steps


@dataclass(frozen=True)
class BatchPlan:
    """The plan of one batch: the samples of one step on one rank."""

    step: int
    """Counted from the beginning of the run (of the pass, for validation)."""
    epoch: int
    start: int
    """Position of the first sample in the epoch's order; epoch and position seed a sample's augmentation."""
    samples: IntArray
    """int64 [B]: sample numbers; PADDING (-1) past the end of the split."""
    is_shuffled: bool = False
    """Whether samples that are neighbors in their shard lie apart."""


@dataclass(frozen=True)
class TrainPlan:
    """The plan of a training run on one rank."""

    shard_lengths: tuple[int, ...]
    """Number of samples in each shard."""
    seed: int
    """Of the order of each epoch; not negative."""
    epochs: int
    global_batch: int
    """Images per step, over all ranks."""
    rank: int = 0
    world_size: int = 1
    block: int = BLOCK
    """Consecutive samples of a shard that stay together in the order of each epoch."""
    shuffled: bool = False
    """Whether the samples of a block that a step takes are shuffled among themselves, so that an image has other
    neighbors in each epoch; the images of a step stay the same."""

    def __post_init__(self) -> None:
        if self.global_batch % self.world_size:
            raise TrainError(
                f"a batch size of {self.global_batch} is not divisible by the {self.world_size} ranks; give a multiple"
            )
        _ = self.steps_per_epoch

    @cached_property
    def steps_per_epoch(self) -> int:
        """Steps per epoch, the same on every rank."""
        return steps_per_epoch(sum(self.shard_lengths), self.global_batch)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    @property
    def carried_over(self) -> int:
        """Samples per epoch that fill no complete batch; the next epoch shuffles them in with the others."""
        return sum(self.shard_lengths) - self.steps_per_epoch * self.global_batch

    @property
    def batch_size(self) -> int:
        """Images per step on this rank."""
        return self.global_batch // self.world_size

    def batches(self, start_step: int = 0, worker: int = 0, workers: int = 1) -> Iterator[BatchPlan]:
        """Yield the batches of one loader process, from `start_step` to the end of the run.

        Process w of W takes the steps start_step + w + i W: read in turn, the processes give all steps in order,
        however many there are.
        """
        order, current = None, -1
        for step in range(start_step + worker, self.total_steps, workers):
            epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
            if order is None or epoch != current:
                order, current = epoch_order(self.shard_lengths, self.seed, epoch, block=self.block), epoch
            start = step_in_epoch * self.global_batch + self.rank * self.batch_size
            if self.shuffled:
                samples = self._shuffled(order, epoch, start)
            else:
                samples = order.samples(start, start + self.batch_size)
            yield BatchPlan(step, epoch, start, samples, is_shuffled=self.shuffled)

    def _shuffled(self, order: EpochOrder, epoch: int, start: int) -> IntArray:
        """Return this rank's samples of a step, of which each block is shuffled for all ranks alike."""
        first = start - self.rank * self.batch_size
        keys = np.random.PCG64(np.random.SeedSequence([self.seed, epoch, _WITHIN_BLOCKS, first]))
        samples = order.shuffled(first, first + self.global_batch, keys.random_raw(self.global_batch))
        return samples[start - first : start - first + self.batch_size]


@dataclass(frozen=True)
class EvalPlan:
    """The plan of one pass over a split, in order: each sample once, in equally many steps on any number of ranks."""

    total: int
    """Samples of the split."""
    batch_size: int
    """Images per batch on one rank; a batch holds the same samples however many ranks there are."""
    rank: int = 0
    world_size: int = 1

    @property
    def steps(self) -> int:
        """Steps of the pass, the same on every rank."""
        return -(-self.total // (self.batch_size * self.world_size))

    def batches(self, start_step: int = 0, worker: int = 0, workers: int = 1) -> Iterator[BatchPlan]:
        """Yield the batches of one loader process; past the end of the split they hold PADDING."""
        for step in range(start_step + worker, self.steps, workers):
            start = (step * self.world_size + self.rank) * self.batch_size
            samples = np.arange(start, start + self.batch_size, dtype=np.int64)
            yield BatchPlan(step, 0, start, np.where(samples < self.total, samples, PADDING))


@dataclass(frozen=True)
class FilePlan:
    """The plan of a pass over some of the files that a split's samples are divided among, `rows` samples to a file.

    No batch has samples of two files, so what a file's batches hold depends on neither the other files nor the ranks.
    """

    total: int
    """Samples of the split."""
    batch_size: int
    rows: int
    """Samples of each file; the split's last file has what is left."""
    files: tuple[int, ...]
    """Numbers of the files to pass over, ascending."""

    @property
    def steps(self) -> int:
        """Batches of all these files."""
        return sum(-(-self.samples(number) // self.batch_size) for number in self.files)

    def samples(self, number: int) -> int:
        """Return the number of samples of a file."""
        return min(self.rows, self.total - number * self.rows)

    def batches(self, start_step: int = 0, worker: int = 0, workers: int = 1) -> Iterator[BatchPlan]:
        """Yield the batches of one loader process; past the end of each file they hold PADDING."""
        per_file = -(-self.rows // self.batch_size)
        for step in range(start_step + worker, self.steps, workers):
            at, batch = divmod(step, per_file)  # only the last file may have fewer batches
            first = self.files[at] * self.rows
            start, end = first + batch * self.batch_size, first + self.samples(self.files[at])
            samples = np.arange(start, start + self.batch_size, dtype=np.int64)
            yield BatchPlan(step, 0, start, np.where(samples < end, samples, PADDING))


def _shuffled(values: IntArray, keys: np.random.PCG64) -> IntArray:
    """Return the values ordered by as many random 64-bit keys."""
    return values[np.argsort(keys.random_raw(len(values)), kind="stable")]
