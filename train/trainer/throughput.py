"""How fast a configuration trains: the loader alone, the step alone, both; which of them bounds, and what to change."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any

import torch

from in21k.shards_manifest.command.progress import Progress
from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.config.sizes import only_size
from in21k.train.data.fraction import with_fraction
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.partition import steps_per_epoch
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.choice import device_name
from in21k.train.device.header import print_header
from in21k.train.device.ranks import join_ranks
from in21k.train.run.folder import Start
from in21k.train.run.resolve import require_model, resolved
from in21k.train.stream.batch import Batch
from in21k.train.stream.batch_stream import WaitClock
from in21k.train.stream.device_stream import device_stream
from in21k.train.stream.source import read_options, train_source
from in21k.train.trainer.build import open_session
from in21k.train.trainer.header import run_facts
from in21k.train.trainer.session import Session

WARM_UP = 10
"""Steps before the clock starts, in which cuDNN chooses its kernels and loader processes fill their buffers."""

_OF_NO_ACCOUNT = ("weights", "recipe", "epochs")
"""What the header of a run says and a measurement has no use for."""

_CLOSE = 0.9
"""Rates whose ratio is above this count as equal."""


@dataclass(frozen=True)
class Rates:
    """Images per second over all ranks, by the first rank's clock."""

    step: float
    """The training step, on one batch that stays on the device."""
    loader: float
    """The loader, its batches copied to the device and left at that."""
    both: float
    """The training step on the loader's batches, as in a run."""
    wait: float
    """Share of that time spent waiting for data, 0 to 1."""

    @property
    def bound(self) -> str:
        """Which is slower, loader or step; or contention if both together are well below either of them."""
        slower = min(self.step, self.loader)
        if self.both < _CLOSE * slower:
            return "contention"
        return "loader" if self.loader < self.step else "step"


def throughput(data: str, config: Config, steps: int) -> dict[str, Any] | None:
    """Return how fast a model trains on a prepared dataset; None on all ranks but the first. Nothing is written.

    Args:
        data: the dataset's folder or URI.
        config: an image size of 0 is the dataset's; the number of epochs is of no account.
        steps: to measure, after `WARM_UP` others.

    Raises:
        DatasetError: the data are not usable.
        TrainError: the configuration does not fit the data or the ranks.
    """
    only_size(config.data.image_size, "a measurement")
    with join_ranks(config.run.device) as ranks:
        require_model(config)
        dataset = with_fraction(open_dataset(data), config.data.fraction)
        config = resolved(_long_enough(config, dataset, WARM_UP + steps), dataset, ranks)
        session = open_session(config, dataset, ranks, Start(None, None))
        facts = run_facts(session, Start(None, None), "")
        print_header(ranks, config.run, {key: text for key, text in facts.items() if key not in _OF_NO_ACCOUNT})
        with dataset.cached(read_options(config.data)):
            rates = measure(session, steps)
        return summary(session, rates) if ranks.is_first else None


def measure(session: Session, steps: int) -> Rates:
    """Return the rates of a session; its weights are of no use afterwards."""
    source, plan, device = train_source(session.dataset, session.config), session.plan, session.ranks.device
    clock = WaitClock()
    session.train_module.train()
    with device_stream(source, plan, session.config, device) as stream:
        batch = next(stream)
    with Progress("measure", "step", 3 * (WARM_UP + steps), shown=session.ranks.is_first) as bar:

        def train(batch: Batch, step: int) -> None:
            session.train_step(batch, step)
            bar.update()

        step, _ = _timed(session, repeat(batch), steps, train)
        with device_stream(source, plan, session.config, device) as stream:
            loader, _ = _timed(session, stream, steps, lambda *_: bar.update())
        with device_stream(source, plan, session.config, device, clock=clock) as stream:
            both, waited = _timed(session, stream, steps, train, clock)
    images = steps * plan.global_batch
    return Rates(images / step, images / loader, images / both, waited / both)


def summary(session: Session, rates: Rates) -> dict[str, Any]:
    """Return the figures as the command line shows them, with a word on what to change."""
    device = session.ranks.device
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {
        "model": session.config.model.name,
        "device": device_name(device),
        "processes": session.ranks.world_size,
        "workers": session.config.run.workers,
        "batch_size": session.plan.global_batch,
        "step_images_per_second": round(rates.step, 2),
        "loader_images_per_second": round(rates.loader, 2),
        "images_per_second": round(rates.both, 2),
        "data_wait": round(rates.wait, 4),
        "gpu_memory_bytes": memory,
        "bound_by": rates.bound,
        "advice": advice(rates, session.config, device),
    }


def advice(rates: Rates, config: Config, device: torch.device) -> str:
    """Return what would make a run faster, in a sentence.

    Args:
        rates: as measured.
        config: resolved.
        device: of the training step.
    """
    if rates.bound == "contention":
        return (
            f"loader and step take each other's CPUs: try other --workers than {config.run.workers}, or more CPUs for "
            "each process"
        )
    if rates.bound == "loader":
        changes = [f"more --workers than {config.run.workers}, if there are CPUs for them"]
        if device.type == "cuda" and config.data.augment_device == "cpu":
            changes.append("--set data.augment_device=gpu")
        return f"the loader bounds: {', '.join([*changes, 'or a smaller --image-size'])}"
    changes = [] if config.run.compile else ["--compile"]
    if device.type == "cuda":
        changes += ["a larger --batch-size, as far as the GPU's memory goes"]
        if config.data.augment_device == "gpu":
            changes.append("--set data.augment_device=cpu")
    return f"the step bounds, and the loader keeps up: {', '.join([*changes, 'or a smaller --image-size'])}"


def _long_enough(config: Config, dataset: TrainingData, steps: int) -> Config:
    per_epoch = steps_per_epoch(sum(dataset.shard_lengths("train")), config.data.batch_size)
    return with_values(config, {"optim.epochs": -(-steps // per_epoch)})


def _timed(
    session: Session,
    stream: Iterator[Batch],
    steps: int,
    step: Callable[[Batch, int], object],
    clock: WaitClock | None = None,
) -> tuple[float, float]:
    """Return the seconds of `steps` steps after the warm-up, and those of them in which data were waited for."""
    for number, batch in enumerate(islice(stream, WARM_UP)):
        step(batch, number)
    clock = clock or WaitClock()
    _synchronize(session)
    began, waited = time.perf_counter(), clock.seconds
    for number, batch in enumerate(islice(stream, steps), WARM_UP):
        step(batch, number)
    _synchronize(session)
    return time.perf_counter() - began, clock.seconds - waited


def _synchronize(session: Session) -> None:
    if session.ranks.device.type == "cuda":
        torch.cuda.synchronize(session.ranks.device)
