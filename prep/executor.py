"""Tasks on worker processes of this machine or on a Dask cluster; the death of a worker loses nothing."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_any
from typing import Any, Generic, Protocol, TypeVar

from in21k.prep.errors import DamagedPartError, PrepError
from in21k.prep.without_pandas import leave_pandas_out
from in21k.shards_manifest.errors import NoSpaceError, StoreError, one_line
from in21k.shards_manifest.fork_server import fork_server, shared_memory_errors
from in21k.shards_manifest.stop_signals import signals_wait

ATTEMPTS = 3
"""How often a task is tried before it counts as failed."""

_AHEAD = 2
"""Tasks that are submitted beyond those in progress; more would only take memory."""

_FINAL = (NoSpaceError, StoreError, DamagedPartError)
"""Errors that another try would meet again."""

_PRELOADED = ("in21k.prep.stages.resize", "in21k.prep.stages.shard")
"""Modules whose import would take each worker half a second."""


class Named(Protocol):
    """A task with a name for error messages."""

    @property
    def name(self) -> str:
        """What to call it in an error."""
        ...


Task = TypeVar("Task", bound=Named)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """The processes that do the work."""

    count: int
    """Number of processes on this machine; on a cluster, its scheduler decides."""
    scheduler: str = ""
    """Address of a Dask scheduler; empty for processes on this machine."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise PrepError(f"--workers {self.count}: give 1 or more")


@dataclass
class _Attempt(Generic[Task]):
    task: Task
    failures: int = 0


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run_tasks(function: Callable[[Task], Result], tasks: Iterable[Task], workers: Workers) -> Iterator[Result]:
    """Yield the results of a picklable function over picklable tasks, in the order in which they finish.

    Tasks are taken from the iterable only as workers become free. A worker that dies is replaced and its tasks run
    again. A task that has failed three times is given up, and the others are finished first; only a full disk, an
    object store that failed for the whole retry time, or a damaged part ends the run at once.

    Raises:
        PrepError: in the end, if tasks failed three times; it names the first.
        NoSpaceError: a disk is full.
        StoreError: an object store keeps failing.
        DamagedPartError: a part is damaged.
    """
    waiting = iter(tasks)
    again: deque[_Attempt[Task]] = deque()
    running: dict[Future[Result], _Attempt[Task]] = {}
    failed: list[str] = []
    with _Pool(workers) as pool:
        while True:
            while len(running) < pool.capacity() and (attempt := _next(again, waiting)) is not None:
                running[pool.submit(function, attempt.task)] = attempt
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            suspects = []
            for future in done:
                attempt = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    suspects.append(attempt)
                except _FINAL:
                    raise
                except Exception as error:
                    _note_failure(attempt, error, again, failed)
            if suspects:
                wait(running)
                suspects += [running.pop(future) for future in list(running) if _died(future)]
                yield from _run_alone(pool, function, suspects, failed)
    if failed:
        raise PrepError(
            f"{len(failed)} task(s) failed {ATTEMPTS} times, all others are done; the first: {failed[0]}; "
            "run the same command again to retry"
        )


def _next(again: deque[_Attempt[Task]], waiting: Iterator[Task]) -> _Attempt[Task] | None:
    if again:
        return again.popleft()
    return next((_Attempt(task) for task in waiting), None)


def _note_failure(attempt: _Attempt[Task], error: Exception, again: deque[_Attempt[Task]], failed: list[str]) -> None:
    """Queue a task again, or give it up."""
    attempt.failures += 1
    if attempt.failures < ATTEMPTS:
        again.append(attempt)
    else:
        failed.append(f"{attempt.task.name}: {one_line(error, longest=None)}")


def _died(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _run_alone(
    pool: "_Pool", function: Callable[[Task], Result], suspects: list[_Attempt[Task]], failed: list[str]
) -> Iterator[Result]:
    """Run the tasks that were in progress when a worker died one at a time, which shows the one that kills workers."""
    for attempt in suspects:
        again = deque([attempt])
        while again:
            pool.replace()
            try:
                yield pool.submit(function, again.popleft().task).result()
            except BrokenProcessPool:
                _note_failure(attempt, PrepError("its worker process died (out of memory, or killed)"), again, failed)
            except _FINAL:
                raise
            except Exception as error:
                _note_failure(attempt, error, again, failed)
    pool.replace()


class _Pool:
    """An executor whose workers can be replaced."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._client: Any = _dask_client(workers.scheduler) if workers.scheduler else None
        self._executor = self._new()

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        else:
            self._executor.shutdown(wait=False)
            self._client.close()

    def capacity(self) -> int:
        """Return how many tasks may be submitted at a time."""
        if self._client is None:
            return self._workers.count + _AHEAD
        threads: int = sum(self._client.nthreads().values())
        return max(1, threads) + _AHEAD

    def submit(self, function: Callable[[Any], Any], task: Any) -> Future[Any]:
        """Submit a task."""
        with signals_wait():  # a worker that is half started would print a traceback
            return self._executor.submit(function, task)

    def replace(self) -> None:
        """Start new worker processes; a Dask cluster replaces its own."""
        if self._client is None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = self._new()

    def _new(self) -> Executor:
        if self._client is not None:
            executor: Executor = self._client.get_executor(pure=False)
            return executor
        with shared_memory_errors("give the container more"):
            return ProcessPoolExecutor(
                self._workers.count, mp_context=fork_server(_PRELOADED), initializer=_start_worker
            )


def start_early(workers: Workers) -> None:
    """Start importing what workers need, while the caller does something else."""
    if not workers.scheduler:
        fork_server(_PRELOADED)


def _dask_client(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise PrepError("--executor dask needs distributed: pip install 'in21k[dask]'") from None
    try:
        return Client(scheduler, set_as_default=False)
    except (OSError, ValueError) as error:
        raise PrepError(f"--scheduler {scheduler}: no Dask scheduler answers ({one_line(error)})") from error


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_pandas_out()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait_for_any([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
