"""What interrupts training: SIGTERM, Ctrl-C, and the clock that asks for checkpoints.

All ranks stop, or save, after the same step, so that the checkpoint is of one state.
"""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from in21k.train.device.ranks import Ranks, cpu_group, end_start

SAME_REQUEST_SECONDS = 3.0
"""A second SIGTERM within this time is the same request: schedulers signal all processes, and torchrun forwards it."""

SAME_KEY_SECONDS = 0.5
"""A second SIGINT within this time is the same Ctrl-C: some programs pass on what all processes of a terminal get."""

NAMES: Mapping[int, str] = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
"""What asks a run to stop, as users call it, the more telling one last: it is told where ranks got different ones."""

_ON_CTRL_C = b"\nin21k-train: Ctrl-C: writing a checkpoint after this step; a second one ends the run at once\n"


class Preempted(Exception):  # noqa: N818 - nothing went wrong
    """A run was stopped by a signal, after its checkpoint had been written."""

    def __init__(self, step: int, number: int = signal.SIGTERM, *, is_first: bool = True) -> None:
        super().__init__(f"stopped by {NAMES[number]} at step {step}; continue with --resume")
        self.step = step
        """Steps done."""
        self.number = number
        """The signal's."""
        self.is_first = is_first
        """Whether this is the rank that tells it."""


class Agreed(NamedTuple):
    """What all ranks do after a step."""

    number: int
    """Of the signal that ends the run now; 0 for none."""
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
        self._number = 0
        self._flags = torch.zeros(2, dtype=torch.int32)
        self._pending: Any = None

    @property
    def asked(self) -> bool:
        """Whether this process has received a signal to stop."""
        return self._asked_at is not None

    def ask(self, number: int = signal.SIGTERM) -> bool:
        """Note a signal, and return whether it repeats an earlier one, so that the process is to end at once."""
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at, self._number = now, number
            return False
        is_key = number == self._number == signal.SIGINT
        return now - self._asked_at > (SAME_KEY_SECONDS if is_key else SAME_REQUEST_SECONDS)

    def agree(self) -> Agreed:
        """Return what all ranks do now; each must call it equally often.

        The ranks exchange their wishes while the next step is computed, so with several ranks the result answers the
        call before. Nothing waits for a GPU.
        """
        save = self._clock.rings()
        if self._group is None:
            return Agreed(self._number, save)
        agreed = self._collect()
        code = 1 + [*NAMES].index(self._number) if self._number else 0
        self._flags = torch.tensor([code, save], dtype=torch.int32)
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
            return Agreed(0, False)
        self._pending.wait()
        self._pending = None
        code, save = self._flags.tolist()
        return Agreed([0, *NAMES][code], bool(save))


@contextmanager
def stop_request(ranks: Ranks, clock: SaveClock | None = None) -> Iterator[StopRequest]:
    """Turn the first SIGTERM or SIGINT into a request to stop; a repeated one has the effect that it had before.

    Outside the main thread, to which Python delivers no signals, they keep their effect; so does a SIGINT that is
    ignored, as that of a background job.
    """
    request = StopRequest(ranks, clock)
    if threading.current_thread() is not threading.main_thread():
        yield request
        request.close()
        return
    before: dict[int, Any] = {}

    def on_signal(number: int, _: object) -> None:
        """Note the request; a repeated one ends the process."""
        if request.ask(number):
            signal.signal(number, before[number])
            signal.raise_signal(number)
        elif number == signal.SIGINT and ranks.is_first:
            _answer_key()

    for number in NAMES:
        if number != signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, on_signal)
    try:
        yield request
        request.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answer_key() -> None:
    """Say on a terminal that Ctrl-C was noticed; a step may take long."""
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), _ON_CTRL_C)  # print could be what the signal interrupted
