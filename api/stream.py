"""Batches for a training loop of one's own, in an order that follows from the shards, a seed and the epoch alone."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, TypedDict

from torch import Tensor, distributed

from in21k.shards_manifest.command.nearest import did_you_mean
from in21k.shards_manifest.sizes import parse_size
from in21k.shards_manifest.storage.local_files import local_path
from in21k.train.data.interfaces import CacheOptions, ReadOptions
from in21k.train.data.partition import EvalPlan, TrainPlan
from in21k.train.data.prepared.dataset import Dataset, open_dataset
from in21k.train.errors import TrainError
from in21k.train.images.augment_draws import Augmentation
from in21k.train.stream.batch import Batch
from in21k.train.stream.loader import open_items, open_stream
from in21k.train.stream.source import StreamSource
from in21k.transforms import TransformedBatches


class NoSuchOptionError(TrainError, TypeError):
    """A stream has no option of a name."""


class OptionValueError(TrainError, ValueError):
    """An option has a value that it cannot have."""


class StreamOptions(TypedDict, total=False):
    """What else a stream may be told."""

    epochs: int
    """Of the training images; 1 by default."""
    seed: int
    """Of the order and of the augmentation; 0 by default."""
    rank: int
    """Which share of each step's images; by default torch.distributed's rank where it is initialized, else 0."""
    world_size: int
    """Among how many ranks each step's images are shared; by default torch.distributed's, else 1."""
    workers: int
    """Loader processes; 0 by default. The batches do not depend on their number. With any, a script has its code under
    `if __name__ == "__main__":`."""
    image_size: int
    """Side in pixels that images are resized to; by default as the shards hold them."""
    augment: bool | Augmentation
    """Our augmentation: True for the paper's, Cutout and then RandAugment."""
    transform: Callable[[Any], Tensor]
    """Your own in its place: makes a tensor, of one shape for all, of each RGB PIL image as the shard holds it. Its
    random numbers (random, NumPy's and PyTorch's global ones) follow from seed, epoch and position."""
    start_step: int
    """The step to begin with; 0 by default. Nothing before it is read."""
    cache: str
    """A folder of local disk where shards of an object store are kept."""
    cache_size: str
    """How large it may grow, such as `200GB`, which is the default."""


class Stream:
    """Batches in order, each with `images` and `labels`; each iteration begins at `start_step` again."""

    def __init__(
        self, dataset: Dataset, plan: TrainPlan | EvalPlan, source: StreamSource, options: StreamOptions
    ) -> None:
        """Prepare the batches of a plan; nothing is read yet."""
        self._dataset, self._source, self._options = dataset, source, options
        self.plan = plan
        """Which samples each step takes."""
        self.start_step = options.get("start_step", 0)
        self.position = self.start_step
        """The step after the last batch that was taken: the `start_step` with which a stream goes on from here."""
        self.steps_per_epoch = plan.steps_per_epoch if isinstance(plan, TrainPlan) else plan.steps
        """Steps in an epoch, the same on every rank."""

    def __repr__(self) -> str:
        plan = self.plan
        epochs = f" of {plan.epochs} epochs" if isinstance(plan, TrainPlan) and plan.epochs > 1 else ""
        return f"Stream({len(self):,} steps{epochs}, at step {self.position:,}, rank {plan.rank} of {plan.world_size})"

    def __len__(self) -> int:
        """Return the number of batches of an iteration."""
        total = self.plan.total_steps if isinstance(self.plan, TrainPlan) else self.plan.steps
        return max(total - self.start_step, 0)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches; their memory is reused only when nothing refers to it.

        Raises:
            DatasetError: the data cannot be read, or have changed since they were opened.
            TrainError: a loader process died, or the transform gave something else than tensors of one shape.
        """
        with self._dataset.cached(read_options(self._options)), closing(self._opened()) as batches:
            for step, batch in enumerate(batches, self.start_step):
                self.position = step + 1
                yield batch
                del batch  # or its memory would stay in use until the next one arrives

    def _opened(self) -> Any:
        workers = self._options.get("workers", 0)
        transform = self._options.get("transform")
        if transform is None:
            return open_stream(self._source, self.plan, start_step=self.start_step, workers=workers)
        decode = TransformedBatches(transform, self._source.decoding.image_size, self._options.get("seed", 0))
        return open_items(self._source.open_reader, self.plan, decode, start_step=self.start_step, workers=workers)


def make_stream(path: str, split: str, batch_size: int, options: StreamOptions) -> Stream:
    """Return the stream of a split.

    Args:
        path: folder or URI of a prepared dataset.
        split: `train` or `val`.
        batch_size: images per step on this rank.
        options: the others.

    Raises:
        NoSuchOptionError: a stream has no such option.
        OptionValueError: an option has a value that it cannot have.
        DatasetError: the dataset cannot be read.
    """
    _check(options, split, batch_size)
    dataset = open_dataset(path)
    rank, world_size = _ranks(options)
    plan: TrainPlan | EvalPlan
    if split == "train":
        plan = TrainPlan(
            shard_lengths=dataset.shard_lengths(split),
            seed=options.get("seed", 0),
            epochs=options.get("epochs", 1),
            global_batch=batch_size * world_size,
            rank=rank,
            world_size=world_size,
        )
    else:
        plan = EvalPlan(dataset.samples(split), batch_size, rank, world_size)
    source = StreamSource(
        dataset.reader(split, read_options(options)),
        dataset.decoding(options.get("image_size")),
        _augmentation(options),
    )
    return Stream(dataset, plan, source, options)


def read_options(options: StreamOptions) -> ReadOptions:
    """Return how shards are read.

    Raises:
        DatasetError: the cache's size is no size, or its folder a URI.
    """
    if not options.get("cache"):
        return ReadOptions()
    return ReadOptions(CacheOptions(str(local_path(options["cache"])), parse_size(options.get("cache_size", "200GB"))))


def _check(options: StreamOptions, split: str, batch_size: int) -> None:
    if unknown := sorted(set(options) - set(StreamOptions.__annotations__)):
        known = StreamOptions.__annotations__
        hint = did_you_mean(unknown[0], known, f"it has {', '.join(known)}")
        raise NoSuchOptionError(f"a stream has no option {unknown[0]!r}; {hint}")
    if batch_size < 1:
        raise OptionValueError(f"a batch size of {batch_size} is not possible; give at least 1")
    if options.get("transform") and options.get("augment"):
        raise OptionValueError("a stream has a transform or our augmentation, not both; leave one out")
    if split == "val" and (options.get("augment") or options.get("epochs", 1) != 1):
        raise OptionValueError("the val split is passed over once and not augmented; leave augment and epochs out")


def _ranks(options: StreamOptions) -> tuple[int, int]:
    """Return rank and world size: those of the options, else of torch.distributed, else one rank."""
    joined = distributed.is_available() and distributed.is_initialized()
    found = (distributed.get_rank(), distributed.get_world_size()) if joined else (0, 1)
    rank, world_size = options.get("rank", found[0]), options.get("world_size", found[1])
    if not 0 <= rank < world_size:
        raise OptionValueError(f"rank {rank} is not one of {world_size}; ranks are 0 to {world_size - 1}")
    return rank, world_size


def _augmentation(options: StreamOptions) -> Augmentation | None:
    """Return our augmentation, None for none; by default the paper's values."""
    chosen = options.get("augment", False)
    if isinstance(chosen, Augmentation):
        return chosen
    return Augmentation(seed=options.get("seed", 0), cutout=0.5, ops=2, magnitude=9) if chosen else None
