"""How processes of ours start: forked from a server without threads, out of reach of Ctrl-C."""

import errno
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext

from in21k.shards_manifest.errors import DatasetError

_NO_SEMAPHORES = (errno.ENOSPC, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSYS)


def fork_server(modules: Sequence[str]) -> BaseContext:
    """Return how processes start: forked from a server, started now if it does not run, that has imported `modules`.

    Ctrl-C goes to all processes of a terminal. The server and what it forks inherit that SIGINT is blocked, so the
    command alone answers it; without that, the server would print a traceback while it imports.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    resource_tracker.ensure_running()  # or the server would start it, which unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextmanager
def shared_memory_errors(remedy: str) -> Iterator[None]:
    """Say what to do where processes cannot start for lack of shared memory, in which their semaphores lie.

    Args:
        remedy: what to do, apart from giving a container more.

    Raises:
        DatasetError: /dev/shm is full, missing, or cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno not in _NO_SEMAPHORES:
            raise
        raise DatasetError(
            f"shared memory (/dev/shm): {error.strerror}, but processes that work together need a little of it; "
            f"{remedy} (docker run --shm-size=64m)"
        ) from error
