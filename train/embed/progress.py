"""How far the embedding has come on all ranks, in images and in files."""

import secrets
from collections.abc import Sequence

import torch

from in21k.shards_manifest.command.progress import TIMING, Progress, Timing
from in21k.train.device.ranks import Ranks
from in21k.train.embed.folder import Planned

_EXCHANGE_SECONDS = 1.0
"""How often a rank tells the others what it has done; that goes through the store of the first one."""


class FileProgress(Progress):
    """How many images and files are embedded."""

    def __init__(self, files: Sequence[Planned], ranks: Ranks, *, timing: Timing = TIMING) -> None:
        """Begin; every rank must call it.

        Args:
            files: that all ranks together will embed.
            ranks: this rank among the others; the first one shows how far all have come.
            timing: when lines are due.
        """
        super().__init__("embed", "image", sum(each.rows for each in files), shown=ranks.is_first, timing=timing)
        self._files, self._whole, self._store = len(files), 0, ranks.store
        self._untold, self._exchanged = [0, 0], timing.clock()
        if self._store is not None:
            number = torch.tensor([secrets.randbits(48)], device=ranks.device)
            ranks.broadcast(number)  # a key that no earlier start has counted with
            self._key = f"embedded/{int(number)}"

    def add(self, images: int, *, is_whole: bool) -> None:
        """Count images, and the file that they belong to if it is whole now."""
        self._untold = [self._untold[0] + images, self._untold[1] + is_whole]
        if self._store is None or self._timing.clock() - self._exchanged >= _EXCHANGE_SECONDS:
            self._exchange()

    def close(self, *, is_whole: bool = True) -> None:
        """Tell the others the rest, and close."""
        if is_whole:
            self._exchange()
        super().close(is_whole=is_whole)

    def line(self) -> str:
        """Return the line that says how far the work has come."""
        return f"{super().line()}, {self._whole:,} of {self._files:,} files"

    def _exchange(self) -> None:
        """Take up what all ranks have done."""
        if self._store is None:
            images, whole = self.done + self._untold[0], self._whole + self._untold[1]
        else:
            images, whole = (self._store.add(f"{self._key}/{at}", each) for at, each in enumerate(self._untold))
        self._untold, self._exchanged, self._whole = [0, 0], self._timing.clock(), whole
        self.note({"files": f"{whole}/{self._files}"})
        self.reach(images)
