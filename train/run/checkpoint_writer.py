"""Checkpoints written in a thread of their own, from a copy of the state, while training goes on."""

import sys
import threading
from pathlib import Path
from types import TracebackType

from in21k.shards_manifest.errors import one_line
from in21k.train.errors import USER_ERRORS
from in21k.train.run.checkpoint import Snapshot, save_checkpoint


class CheckpointWriter:
    """Writes the checkpoints of a run, one at a time.

    The block in which it is used ends when the last checkpoint is on the disk. If an error ends it, the checkpoint
    under way is still completed; if the process is to end at once (SystemExit), it is left behind unfinished.
    """

    def __init__(self, run: Path, keep: int) -> None:
        """Write nothing yet.

        Args:
            run: the run's folder.
            keep: checkpoints to keep, the newest ones.
        """
        self._run, self._keep = run, keep
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.newest: Path | None = None
        """Folder of the newest checkpoint that was written here."""

    def start(self, snapshot: Snapshot) -> None:
        """Begin to write a checkpoint; the one before must be complete (`wait`).

        Args:
            snapshot: with tensors that training does not change.
        """
        assert self._thread is None
        # A daemon, so that a process that is to end at once does not wait for it.
        self._thread = threading.Thread(target=self._write, args=(snapshot,), name="in21k-checkpoint", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise the error of a checkpoint that could not be written, without waiting for one under way.

        Raises:
            TrainError: it cannot be written.
        """
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait until the checkpoint under way is on the disk.

        Raises:
            TrainError: it cannot be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def settle(self) -> None:
        """Wait as `wait` does, and print an error instead of raising it, because another one ends the run."""
        try:
            self.wait()
        except USER_ERRORS as error:
            print(f"note: {one_line(error)}", file=sys.stderr, flush=True)

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self.wait()
        elif not isinstance(error, SystemExit):
            self.settle()

    def _write(self, snapshot: Snapshot) -> None:
        try:
            self.newest = save_checkpoint(self._run, *snapshot, keep=self._keep)
        except BaseException as error:  # raised again in the training thread
            self._failure = error
