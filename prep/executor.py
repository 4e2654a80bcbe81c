"""Tasks on worker processes, through the concurrent.futures interface."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_any
from typing import TypeVar

from in21k.prep.errors import PrepError

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD = 2
"""Tasks that wait for each worker; more would only hold memory."""


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run_tasks(function: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Yield the results of a picklable function over tasks, as they come, from worker processes.

    Tasks are taken from the iterable only as workers get free. The first exception of a task ends the run: tasks that
    have begun are finished, no other is started.

    Raises:
        PrepError: a worker process died (killed, out of memory).
    """
    if workers < 1:
        raise PrepError(f"--workers {workers}: give 1 or more")
    context = multiprocessing.get_context("spawn")
    waiting = iter(tasks)
    running: set[Future[Result]] = set()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker) as pool:
        try:
            while True:
                for task in waiting:
                    running.add(pool.submit(function, task))
                    if len(running) >= workers + _AHEAD:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise PrepError(
                "a worker process died (out of memory, or killed); run the same command again to go on, "
                "with fewer --workers if memory ran out"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it even where it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait_for_any([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
