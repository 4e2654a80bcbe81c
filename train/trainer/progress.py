"""Where a running run stands, and what is measured from one logged step to the next."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from in21k.train.evaluation.val_pass import Evaluation
from in21k.train.run.curves import CurveWriter
from in21k.train.stream.batch import Batch
from in21k.train.trainer.finite import GradientWatch
from in21k.train.trainer.preemption import StopRequest
from in21k.train.trainer.session import StepResult


@dataclass
class Meter:
    """What is measured from one logged step to the next."""

    device: torch.device
    gradients: GradientWatch
    steps: int = 0
    wait: float = 0.0
    """Seconds that the process waited for data."""
    skipped: int = 0
    loss: torch.Tensor = field(init=False)
    """float64 scalar on the device: the sum of the steps' losses."""
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=self.device)

    def add(self, result: StepResult, batch: Batch, step: int) -> None:
        """Count a step, numbered from 1."""
        self.loss += result.loss
        self.gradients.add(result.gradient_norm, step)
        self.steps += 1
        self.skipped += len(batch.labels.skipped)

    def seconds(self) -> float:
        """Return how long it has run."""
        return time.perf_counter() - self.started

    def restarted(self) -> "Meter":
        """Return a meter that begins now."""
        return Meter(self.device, self.gradients)


class SaveClock:
    """Says when a checkpoint is due by the clock."""

    def __init__(self, minutes: float) -> None:
        """Start the clock; 0 minutes never rings."""
        self._seconds = 60 * minutes or math.inf
        self._started = time.monotonic()

    def rings(self) -> bool:
        """Return whether the time is over; if so it begins anew."""
        if time.monotonic() - self._started < self._seconds:
            return False
        self._started = time.monotonic()
        return True


@dataclass
class Progress:
    """Where a running run stands, on one process."""

    step: int
    """Steps done."""
    skipped: int
    """Images skipped so far, over all processes."""
    meter: Meter
    curves: CurveWriter | None
    """None on all processes but the first."""
    bar: Any
    """A tqdm bar; disabled where nobody looks."""
    clock: SaveClock
    request: StopRequest
    train_loss: float = math.nan
    overflows: int = 0
    """Steps left out as float16 overflowed, since the run was begun or resumed."""
    evaluation: Evaluation | None = None
    checkpoint: Path | None = None
    stopping: bool = False
    """Whether SIGTERM ends the run now."""
    saving: bool = False
    """Whether the clock wants a checkpoint."""
