"""How far a run has come, and what is measured from one logged step to the next."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.val_pass import Evaluation
from in21k.train.stream.batch import Batch
from in21k.train.stream.batch_stream import WaitClock
from in21k.train.trainer.finite import GradientStats, GradientWatch
from in21k.train.trainer.session import StepResult


@dataclass
class Progress:
    """How far a run has come. Checkpoints keep `step` and `skipped`, the summary keeps all of it."""

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
    evaluation: Evaluation | None = None
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

    def add(self, result: StepResult, batch: Batch, step: int) -> None:
        """Count a step, numbered from 1."""
        self._loss += result.loss
        self._gradients.add(result.gradient_norm, step)
        self._steps += 1
        self._skipped += len(batch.labels.skipped)

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
