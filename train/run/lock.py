"""The lock of a run's folder, so that no two runs write to it at once."""

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.storage.local_files import make_folder
from in21k.train.errors import TrainError

LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class RunLock:
    """The lock of a run's folder; the kernel releases it when the process ends, however it ends."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._descriptor = -1

    def take_if_there(self) -> None:
        """Take the lock of a folder in which a run has begun before; nothing is created.

        Raises:
            TrainError: another run holds it.
        """
        if (self._run / LOCK).exists():
            self._take(os.O_RDWR)

    def take(self) -> bool:
        """Take the lock, creating the folder; return False if it was ours before.

        Raises:
            TrainError: another run holds it.
            DatasetError: the folder cannot be written.
        """
        if self._descriptor >= 0:
            return False
        make_folder(self._run)
        self._take(os.O_RDWR | os.O_CREAT)
        return True

    def release(self) -> None:
        """Release the lock, if it is ours; its file stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self, flags: int) -> None:
        with errors_naming(str(self._run / LOCK)):
            self._descriptor = os.open(self._run / LOCK, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise TrainError(
                f"{self._run}: another run is at work there; wait for its end, or give another --output"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            print(
                f"note: {self._run}: its file system has no locks; see to it that no other run writes there",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def run_lock(run: Path) -> Iterator[RunLock]:
    """Yield the lock of a run's folder, not yet taken, and release it after the block."""
    lock = RunLock(run)
    try:
        yield lock
    finally:
        lock.release()
