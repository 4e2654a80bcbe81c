"""The vectors of one file, gathered batch by batch, and written while the network computes the next file's."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from in21k.train.embed.rows import FileContent
from in21k.train.embed.source import Piece
from in21k.train.stream.batch import NamedSample


class FileWriter:
    """Gathers a file's vectors on the device, and writes them in a thread: two files' are in memory at most."""

    def __init__(self, write: Callable[[int, FileContent], None], dtype: torch.dtype, device: torch.device) -> None:
        """Prepare.

        Args:
            write: takes the number of a file within its split, and its content.
            dtype: of the vectors.
            device: that they come from.
        """
        self._write, self._dtype, self._device = write, dtype, device
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self._vectors = torch.empty(0, 0)
        self._named: list[NamedSample] = []

    def add(self, piece: Piece, number: int, rows: int, vectors: Tensor, named: tuple[NamedSample, ...]) -> bool:
        """Add the next images of a file; return whether that was the last of them, and it is being written.

        Args:
            piece: the split.
            number: of the file within the split.
            rows: of every file of the split but the last.
            vectors: float32 [n, D], of n images or more.
            named: the n images.
        """
        total = min(rows, piece.images - number * rows)
        if not self._named:
            self._vectors = torch.empty((total, vectors.shape[1]), dtype=self._dtype, device=self._device)
        filled = len(self._named)
        self._vectors[filled : filled + len(named)] = vectors[: len(named)]
        self._named += named
        if len(self._named) < total:
            return False
        self.wait()
        content = FileContent(piece, number * rows, self._named, self._vectors.cpu().numpy())
        self._named = []
        self._pending = self._thread.submit(self._write, number, content)
        return True

    def wait(self) -> None:
        """Wait until the last file is written; raises what its writing raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> "FileWriter":
        """Return the writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> Any:
        """Wait for the thread; where nothing else went wrong, raise what went wrong there."""
        try:
            if error is None:
                self.wait()
        finally:
            self._thread.shutdown()
