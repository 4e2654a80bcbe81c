"""What interrupts training: SIGTERM, and the clock that asks for checkpoints.

All ranks stop, or save, after the same step, so that the checkpoint is of one state.
"""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from in21k.train.device.ranks import Ranks, cpu_group, end_start

SAME_REQUEST_SECONDS = 3.0
"""A second SIGTERM within this time is the same request: schedulers signal all processes, and torchrun forwards it."""


class Preempted(Exception):  # noqa: N818 - nothing went wrong
    """A run was stopped by SIGTERM, after its checkpoint had been written."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped by SIGTERM at step {step}; continue with --resume")
        self.step = step
        """Steps done."""


class Agreed(NamedTuple):
    """What all ranks do after a step."""

    stop: bool
    save: bool
    """Whether a checkpoint is due."""


class SaveClock:
    """Says when a checkpoint is due by the clock."""

    def __init__(self, minutes: float) -> None:
        """Start the clock; at 0 minutes it never rings."""
        self._seconds = 60 * minutes or math.inf
        self._started = time.monotonic()

    def rings(self) -> bool:
        """Return whether the time is up, and if so start again."""
        if time.monotonic() - self._started < self._seconds:
            return False
        self._started = time.monotonic()
        return True


class StopRequest:
    """Whether a run is to stop or save; all ranks ask after each step."""

    def __init__(self, ranks: Ranks, clock: SaveClock | None = None) -> None:
        """Connect the ranks.

        Args:
            ranks: this rank among the others.
            clock: asks for checkpoints; None for none.
        """
        self._ranks, self._group = ranks, cpu_group(ranks)
        self._clock = clock or SaveClock(0)
        self._asked_at: float | None = None
        self._flags = torch.zeros(2, dtype=torch.int32)
        self._pending: Any = None

    @property
    def asked(self) -> bool:
        """Whether this process has received SIGTERM."""
        return self._asked_at is not None

    def ask(self) -> bool:
        """Note a SIGTERM, and return whether it repeats an earlier one, so that the process is to end at once."""
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        return now - self._asked_at > SAME_REQUEST_SECONDS

    def agree(self) -> Agreed:
        """Return what all ranks do now; each must call it equally often.

        The ranks exchange their wishes while the next step is computed, so with several ranks the result answers the
        call before. Nothing waits for a GPU.
        """
        save = self._clock.rings()
        if self._group is None:
            return Agreed(self.asked, save)
        agreed = self._collect()
        self._flags = torch.tensor([self.asked, save], dtype=torch.int32)
        self._pending = dist.all_reduce(self._flags, dist.ReduceOp.MAX, self._group, async_op=True)
        return agreed

    def end_start(self) -> None:
        """Wait for the other ranks no longer than `run.timeout_minutes` from now on.

        All ranks have taken their first step once the second exchange after it has begun: it answers the first.
        """
        end_start(self._ranks, self._group)

    def failure(self) -> RuntimeError | None:
        """Return why the exchange under way has failed; None if it has not. Any thread may ask."""
        pending = self._pending
        if pending is None or not pending.is_completed():
            return None
        try:
            pending.wait()
        except RuntimeError as error:
            return error
        return None

    def close(self) -> None:
        """Wait for the exchange under way, before the ranks part."""
        self._collect()

    def _collect(self) -> Agreed:
        if self._pending is None:
            return Agreed(False, False)
        self._pending.wait()
        self._pending = None
        stop, save = self._flags.tolist()
        return Agreed(bool(stop), bool(save))


@contextmanager
def stop_request(ranks: Ranks, clock: SaveClock | None = None) -> Iterator[StopRequest]:
    """Turn the first SIGTERM into a request to stop; a repeated one has the effect that it had before.

    Outside the main thread, to which Python delivers no signals, SIGTERM keeps its effect.
    """
    request = StopRequest(ranks, clock)
    if threading.current_thread() is not threading.main_thread():
        yield request
        request.close()
        return

    def on_signal(*_: object) -> None:
        """Note the request; a repeated one ends the process."""
        if request.ask():
            signal.signal(signal.SIGTERM, before)
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield request
        request.close()
    finally:
        signal.signal(signal.SIGTERM, before)
