"""What a run has come to so far, and what is measured from one logged step to the next."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from in21k.train.device.ranks import Ranks
from in21k.train.stream.batch import StepBatch
from in21k.train.stream.batch_stream import WaitClock
from in21k.train.trainer.finite import GradientStats, GradientWatch
from in21k.train.trainer.session import StepResult


class ValResult(Protocol):
    """The result of a val pass, whatever was learned."""

    @property
    def loss(self) -> float | None:
        """Mean over the images; None where none is measured."""

    @property
    def semantic_top1(self) -> float | None:
        """0 to 1; None where it is not measured."""

    @property
    def curve(self) -> Mapping[str, float | None]:
        """The metrics that the curves show, by their columns."""

    @property
    def skipped(self) -> int:
        """Images that do not decode."""

    @property
    def skipped_keys(self) -> tuple[str, ...]:
        """Those of them that this rank met."""

    def to_dict(self, dataset: Any) -> dict[str, Any]:
        """Return plain values for the summary."""


@dataclass
class Tally:
    """What a run has come to so far. Checkpoints keep `step` and `skipped`, the summary keeps all of it."""

    step: int
    """Steps done."""
    skipped: int
    """Images skipped so far, over all ranks."""
    checkpoint: Path | None
    """Folder of the newest checkpoint."""
    train_loss: float = math.nan
    """Mean over the last logged steps."""
    overflows: int = 0
    """Steps without an update because float16 overflowed, since the run was started or resumed."""
    evaluation: ValResult | None = None
    """The last val pass."""


@dataclass(frozen=True)
class Interval:
    """What was measured from one logged step to the next."""

    steps: int
    loss: float
    """Mean over steps and ranks."""
    skipped: int
    """Images that did not decode, over all ranks."""
    gradients: GradientStats
    seconds: float
    wait: float
    """Seconds for which this rank waited for data."""

    @property
    def pace(self) -> "Pace":
        """What the steps took and came to."""
        return Pace(self.steps, self.loss * self.steps, self.seconds, self.wait)


@dataclass(frozen=True)
class Pace:
    """What some steps took and came to, as sums, so that those of several intervals add up."""

    steps: int = 0
    loss: float = 0.0
    """Sum of the steps' losses."""
    seconds: float = 0.0
    wait: float = 0.0
    """Seconds of them in which data were waited for."""

    def __add__(self, other: "Pace") -> "Pace":
        return Pace(
            self.steps + other.steps,
            self.loss + other.loss,
            self.seconds + other.seconds,
            self.wait + other.wait,
        )

    @property
    def mean_loss(self) -> float:
        """Mean over the steps; nan without any."""
        return self.loss / self.steps if self.steps else math.nan


class Meter:
    """Measures the steps of one rank until they are logged."""

    def __init__(self, device: torch.device) -> None:
        self.clock = WaitClock()
        """For the stream of the batches: how long this rank waits for data."""
        self._gradients = GradientWatch(device)
        self._zero = torch.zeros((), dtype=torch.float64, device=device)
        self.restart()

    def restart(self) -> None:
        """Begin a new interval now."""
        self._loss = self._zero.clone()
        self._steps = self._skipped = 0
        self._waited = self.clock.seconds
        self._started = time.perf_counter()

    def add(self, result: StepResult, batch: StepBatch, step: int) -> None:
        """Count a step, numbered from 1."""
        self._loss += result.loss
        self._gradients.add(result.gradient_norm, step)
        self._steps += 1
        self._skipped += len(batch.skipped)

    def read(self, ranks: Ranks) -> Interval:
        """Return the interval so far; every rank must call it, and it waits for the device."""
        mean = self._loss / (self._steps * ranks.world_size)
        loss, skipped = ranks.sum(torch.stack([mean, mean.new_tensor(self._skipped)])).tolist()
        return Interval(
            steps=self._steps,
            loss=loss,
            skipped=int(skipped),
            gradients=self._gradients.read(),
            seconds=time.perf_counter() - self._started,
            wait=self.clock.seconds - self._waited,
        )

    def peek(self) -> Pace:
        """Return what the interval comes to so far, by this rank's own loss; it waits for the device, for no rank."""
        if not self._steps:
            return Pace()
        seconds = time.perf_counter() - self._started
        return Pace(self._steps, float(self._loss), seconds, self.clock.seconds - self._waited)
