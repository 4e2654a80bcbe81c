"""How far a reader requests ranges of an object store ahead of the batch that is needed next."""

from collections import deque

CONNECTIONS = 24
"""Ranges that one process reads at a time, as most of a request is waiting; pyarrow opens 25 connections at most."""

RANGES = 2 * CONNECTIONS
"""Ranges that may be requested and not yet collected: those being read, and as many that wait for a connection."""

BYTES = 64 << 20
"""Bytes that may be requested and not yet collected, which bounds the memory of a loader process."""

FEWEST = 2
"""Batches that are requested in any case: the one that is needed next, and the one after it."""


class ReadAhead:
    """What is requested and not yet collected, batch by batch."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, int]] = deque()
        self._ranges = self._bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether another batch may be requested: what is pending is below all limits, or fewer than `FEWEST`.

        So at most `BYTES` and one batch are pending, or `FEWEST` batches if that is more.
        """
        return len(self._batches) < FEWEST or (self._ranges < RANGES and self._bytes < BYTES)

    def requested(self, ranges: int, size: int) -> None:
        """Count a batch that was requested.

        Args:
            ranges: of the batch.
            size: of all of them together, in bytes.
        """
        self._batches.append((ranges, size))
        self._ranges += ranges
        self._bytes += size

    def collected(self) -> None:
        """Count the oldest batch as collected."""
        ranges, size = self._batches.popleft()
        self._ranges -= ranges
        self._bytes -= size
