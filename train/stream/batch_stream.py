"""A stream of batches that knows whether its next batch is there already, and how long it was waited for."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from in21k.train.stream.batch import Batch


@dataclass
class WaitClock:
    """Counts how long a loop has waited for batches that were not there yet."""

    seconds: float = 0.0


class BatchStream(Generator[Batch]):
    """Batches in order, read once."""

    def __init__(
        self,
        batches: Generator[Batch],
        is_there: Callable[[int], bool] = lambda _: False,
        clock: WaitClock | None = None,
    ) -> None:
        """Read a generator.

        Args:
            batches: closed with this stream.
            is_there: says whether the batch of a number, from 0, can be taken without waiting for it to be made; by
                default none can.
            clock: counts the waiting.
        """
        self._batches, self._is_there, self._clock = batches, is_there, clock or WaitClock()
        self._taken = 0

    def has_next(self) -> bool:
        """Return whether the next batch can be taken without waiting for it to be made."""
        return self._is_there(self._taken)

    def send(self, value: Any) -> Batch:
        """Return the next batch, once it is there."""
        waits, began = not self.has_next(), time.perf_counter()
        batch = self._batches.send(value)
        if waits:
            self._clock.seconds += time.perf_counter() - began
        self._taken += 1
        return batch

    def throw(self, error: Any, /, *rest: Any) -> Batch:
        """Raise an error in the generator."""
        return self._batches.throw(error, *rest)
