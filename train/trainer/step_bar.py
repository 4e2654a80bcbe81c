"""How far a run has come, for whoever watches it: a bar of its steps and a line per epoch, or lines alone."""

import math
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from in21k.shards_manifest.command.numbers import bytes_text, rate_text, seconds_text, share_text
from in21k.shards_manifest.command.progress import Progress, Timing
from in21k.train.trainer.session import Session
from in21k.train.trainer.tally import Meter, Pace, ValResult

_REFRESH = 10.0
"""Seconds after which a bar shows the loss of the steps since; asking for it waits for the device."""

_METRICS = {"top1": "top-1", "map": "mAP"}
"""Of the metrics that the curves have, the first of these is shown where there is no semantic top-1."""


def run_timing(minutes: float, clock: Callable[[], float] = time.monotonic) -> Timing:
    """Return when the lines of a run are due, by `run.log_minutes`: the first one soon, for a log to show life."""
    if not minutes:
        return Timing(first=math.inf, every=math.inf, clock=clock)
    return Timing(every=60 * minutes, clock=clock)


class StepBar(Progress):
    """The steps of a run."""

    has_last_line = False

    def __init__(self, session: Session, done: int, *, shown: bool, timing: Timing) -> None:
        """Begin.

        Args:
            session: of the run.
            done: steps.
            shown: whether anything is shown.
            timing: when lines are due.
        """
        self._session, self._plan = session, session.plan
        self._past, self._at_last_line, self._open = Pace(), Pace(), Pace()
        self._first = Pace()
        """Of the first step alone, in which loaders start and networks are compiled: it does not say what is left."""
        self._facts: dict[str, str] = {}
        self._metric = ""
        self.val_seconds = 0.0
        """Of the last val pass."""
        super().__init__(self._epoch(done + 1), "step", session.plan.total_steps, done, shown=shown, timing=timing)
        self._shown_at = -math.inf

    def step_done(self, meter: Meter) -> None:
        """Count a step; a bar shows the loss from the first one on."""
        self.rename(self._epoch(self.done + 1))
        if self._speaks and not self._first.steps:
            self._first = meter.peek()
        now = self._timing.clock()
        if self.is_bar and now - self._shown_at >= _REFRESH:
            self._shown_at = now
            self._show(loss=f"{meter.peek().mean_loss:.4f}")
        self.advance()

    def add(self, pace: Pace) -> None:
        """Take steps that were logged."""
        self._past += pace
        self._shown_at = self._timing.clock()
        self._show(**{"loss": f"{pace.mean_loss:.4f}", "images/s": self._images_per_second(pace)})

    def add_val(self, result: ValResult) -> None:
        """Take the result of a val pass, which the next line has."""
        metrics = {"semantic top-1": result.semantic_top1}
        metrics |= {name: result.curve.get(key) for key, name in _METRICS.items()}
        found = [f"{name} {share_text(value)}" for name, value in metrics.items() if value is not None][:1]
        self._show(val=found[0] if found else "done")
        loss = [] if result.loss is None else [f"val loss {result.loss:.4f}"]
        self._metric = ", ".join(loss + [f"val {each}" for each in found])

    def after_step(self, meter: Meter) -> None:
        """Print a line at an epoch's end, also above a bar; and if one is due, where there is no bar."""
        if not (self._speaks or self.is_bar):
            return
        ends = self.done % self._plan.steps_per_epoch == 0 or self.done == self.total
        if ends or (self._speaks and self.is_due()):
            self._open = meter.peek()
            self.say_above()
            self._at_last_line, self._metric = self._past + self._open, ""

    def line(self) -> str:
        """Return the line that says how far the run has come, with what the steps since the last one came to."""
        now, last = self._past + self._open, self._at_last_line
        pace = Pace(now.steps - last.steps, now.loss - last.loss, now.seconds - last.seconds, now.wait - last.wait)
        facts = [self._epoch(self.done), f"step {self.done:,}/{self.total:,}"]
        if pace.steps:
            facts.append(f"loss {pace.mean_loss:.4f}")
        if self._metric:
            facts.append(self._metric)
        if pace.steps and pace.seconds > 0:
            facts += [f"{self._images_per_second(pace)} images/s", f"data wait {share_text(pace.wait / pace.seconds)}"]
        facts.append(f"memory {bytes_text(peak_memory(self._session.ranks.device))}")
        steps, seconds = now.steps - self._first.steps, now.seconds - self._first.seconds
        if steps and self.done < self.total:
            left = (self.total - self.done) * seconds / steps + self._passes_left() * self.val_seconds
            facts.append(f"{seconds_text(left)} left")
        return ", ".join(facts)

    def _show(self, **facts: Any) -> None:
        self._facts |= facts
        self.note(self._facts)

    def _images_per_second(self, pace: Pace) -> str:
        return rate_text(pace.steps * self._plan.global_batch / pace.seconds) if pace.seconds > 0 else "0"

    def _epoch(self, step: int) -> str:
        """Return the epoch of a step, numbered from 1, of all."""
        epochs = self._plan.epochs
        return f"epoch {min(max(-(-step // self._plan.steps_per_epoch), 1), epochs)}/{epochs}"

    def _passes_left(self) -> int:
        """Return how many val passes follow."""
        if not self._session.dataset.samples("val"):
            return 0
        every = self._session.config.run.eval_epochs * self._plan.steps_per_epoch
        return -(-self.total // every) - self.done // every


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that tensors took on a GPU, or that the process took where it computes on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # Linux counts KiB
