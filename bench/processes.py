"""Programs run for a benchmark, each as a process of its own: what it took of time, cores and memory."""

import ctypes
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.05
_PR_SET_CHILD_SUBREAPER = 36
"""Of Linux's prctl."""


@dataclass(frozen=True)
class Usage:
    """What a program took, with all processes below it."""

    seconds: float
    """By the clock."""
    cpu_seconds: float
    """Of all processes, user and system."""
    peak_bytes: int
    """Resident memory of the largest process at its peak."""
    written_bytes: int
    """What went to file systems, temporary files too; in whole pages, and nothing on a tmpfs."""
    output: str
    """What it printed."""


def measure(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Usage:
    """Run a program to its end and return what it took.

    Raises:
        RuntimeError: it failed.
    """
    _adopt_orphans()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peaks: dict[int, int] = {}
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks, ended))
    watcher.start()
    output, errors = process.communicate()
    seconds = time.perf_counter() - begun
    ended.set()
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}:\n{errors[-4000:]}")
    _wait_for_orphans()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    written = (after.ru_oublock - before.ru_oublock) * 512
    return Usage(seconds, cpu, max(peaks.values(), default=0), written, output)


def python(script: str | Path, *arguments: str | int | Path) -> list[str]:
    """Return the command that runs a script with this interpreter."""
    return [sys.executable, str(script), *map(str, arguments)]


def prep(*arguments: str | int | Path) -> list[str]:
    """Return the command that runs `in21k-prep`."""
    return [sys.executable, "-m", "in21k.prep", *map(str, arguments)]


def _adopt_orphans() -> None:
    """Become the parent of processes that outlive theirs, such as a server that forks workers: so that they count."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl refuses to adopt orphans")


def _wait_for_orphans() -> None:
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return


def _watch(pid: int, peaks: dict[int, int], ended: threading.Event) -> None:
    while not ended.wait(_SAMPLE_SECONDS):
        for process in _tree(pid):
            peaks[process] = max(peaks.get(process, 0), _peak(process))


def _tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(below for child in children for below in _tree(child))]


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
