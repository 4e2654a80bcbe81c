"""How far a reader requests ranges of an object store ahead of the batch that is needed next."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

CONNECTIONS = 24
"""Ranges that one process reads at a time, as most of a request is waiting; pyarrow opens 25 connections at most."""

RANGES = 2 * CONNECTIONS
"""Ranges that may be requested and not yet collected: those being read, and as many that wait for a connection."""

BYTES = 64 << 20
"""Bytes that may be requested and not yet collected, which bounds the memory of a loader process."""

FEWEST = 2
"""Batches that are requested in any case: the one that is needed next, and the one after it."""


class ReadAhead:
    """What is requested and not yet collected, batch by batch.

    A store that is always in time is asked for one batch ahead, which is decoded while it is still in the processor's
    cache. Once a batch was not there when it was needed, the limits above hold instead.
    """

    def __init__(self) -> None:
        self._batches: deque[tuple[Sequence[Future[bytes]], int]] = deque()
        self._ranges = self._bytes = 0
        self._has_begun = self._was_late = False

    def wants_more(self) -> bool:
        """Return whether another batch is worth requesting, now that the oldest one is needed.

        At most `BYTES` and one batch are pending, or `FEWEST` batches if that is more.
        """
        if len(self._batches) < FEWEST:
            return True
        if self._has_begun and not all(read.done() for read in self._batches[0][0]):
            self._was_late = True
        return self._was_late and self._ranges < RANGES and self._bytes < BYTES

    def requested(self, reads: Sequence[Future[bytes]], size: int) -> None:
        """Count a batch that was requested.

        Args:
            reads: its ranges.
            size: of all of them together, in bytes.
        """
        self._batches.append((reads, size))
        self._ranges += len(reads)
        self._bytes += size

    def collected(self) -> None:
        """Count the oldest batch as collected."""
        reads, size = self._batches.popleft()
        self._ranges -= len(reads)
        self._bytes -= size
        self._has_begun = True
