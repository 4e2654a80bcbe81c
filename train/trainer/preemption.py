"""SIGTERM while a run trains: every process stops after the same step, so that a checkpoint can be written."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from in21k.train.device.ranks import Ranks, cpu_group

ONE_REQUEST = 3.0
"""Seconds in which a second SIGTERM is the same request: schedulers signal all processes, and torchrun passes it on."""


class Preempted(Exception):  # noqa: N818 - nothing went wrong
    """A run was stopped by SIGTERM after its checkpoint had been written."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped by SIGTERM at step {step}; go on with --resume")
        self.step = step
        """Steps done."""


class Agreed(NamedTuple):
    """What all processes do after a step."""

    stop: bool
    save: bool
    """Whether a checkpoint is due."""


class StopRequest:
    """Whether a run shall stop, or save; asked after each step by all of its processes."""

    def __init__(self, ranks: Ranks) -> None:
        self._group: Any = cpu_group(ranks)
        self._asked_at: float | None = None
        self._flags = torch.zeros(2, dtype=torch.int32)
        self._pending: Any = None

    @property
    def asked(self) -> bool:
        """Whether this process got SIGTERM."""
        return self._asked_at is not None

    def ask(self) -> bool:
        """Note a SIGTERM, and return whether it is a new one after an earlier one, of which somebody grew tired."""
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        return now - self._asked_at > ONE_REQUEST

    def agree(self, *, save: bool = False) -> Agreed:
        """Return what all processes do now; each must call it equally often.

        The processes tell each other over the network while the next step is computed, so with several of them the
        answer is that to the call before. Nothing waits for a GPU.

        Args:
            save: whether this process wants a checkpoint.
        """
        if self._group is None:
            return Agreed(self.asked, save)
        agreed = self._collect()
        self._flags = torch.tensor([self.asked, save], dtype=torch.int32)
        self._pending = dist.all_reduce(self._flags, dist.ReduceOp.MAX, self._group, async_op=True)
        return agreed

    def close(self) -> None:
        """Wait for what is under way, before the processes part."""
        self._collect()

    def _collect(self) -> Agreed:
        if self._pending is None:
            return Agreed(False, False)
        self._pending.wait()
        self._pending = None
        stop, save = self._flags.tolist()
        return Agreed(bool(stop), bool(save))


@contextmanager
def stop_request(ranks: Ranks) -> Iterator[StopRequest]:
    """Turn the first SIGTERM into a request to stop; later ones do what they did before.

    Elsewhere than in the main thread, where Python delivers no signals, SIGTERM keeps its effect.
    """
    request = StopRequest(ranks)
    if threading.current_thread() is not threading.main_thread():
        yield request
        request.close()
        return

    def on_signal(*_: object) -> None:
        if request.ask():
            signal.signal(signal.SIGTERM, before)
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield request
        request.close()
    finally:
        signal.signal(signal.SIGTERM, before)
