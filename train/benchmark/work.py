"""Runs as processes of their own, several at once, which share the cores and the GPUs of the machine."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.local_files import make_folder
from in21k.train.stream.worker_count import available_cpus

_PAUSE = 0.1
"""Seconds from one look at the processes to the next."""
_PATIENCE = 120.0
"""Seconds for a process to write its checkpoint, once it was told to stop."""
_PR_SET_PDEATHSIG = 1
_END = 1 << 14
"""Bytes of a log whose last line is shown."""


@dataclass(frozen=True)
class Share:
    """The part of the machine that one process at a time has."""

    cpus: frozenset[int]
    gpu: str = ""
    """What CUDA_VISIBLE_DEVICES is set to; empty leaves it."""


@dataclass(frozen=True)
class Work:
    """A command to run."""

    name: str
    command: Sequence[str]
    log: Path
    """Gets the command and all that it prints."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    seconds: float
    told: str
    """The last line that it printed."""


def shares(jobs: int, cpus: Sequence[int], gpus: Sequence[str] = ()) -> list[Share]:
    """Return a share for each of several jobs: equally many cores, or one each where there are fewer, and a GPU."""
    if jobs > len(cpus):
        sets = [frozenset((cpus[at % len(cpus)],)) for at in range(jobs)]
    else:
        ends = [at * len(cpus) // jobs for at in range(jobs + 1)]
        sets = [frozenset(cpus[first:last]) for first, last in pairwise(ends)]
    return [Share(own, gpus[at % len(gpus)] if gpus else "") for at, own in enumerate(sets)]


def machine_shares(jobs: int) -> list[Share]:
    """Return the shares of this machine; with one job it has everything."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(available_cpus()))
    if jobs == 1:
        return [Share(frozenset(cpus))]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(at) for at in range(torch.cuda.device_count())]
    return shares(jobs, cpus, gpus)


def run_all(
    work: Sequence[Work], room: Sequence[Share], ended: Callable[[Work, Done], None], pause: float = _PAUSE
) -> None:
    """Run commands, as many at once as there are shares; a failed one does not stop the others.

    Args:
        work: the commands, in order.
        room: the shares of the machine.
        ended: called for each command that has ended.
        pause: seconds between two looks at the processes.

    When an exception ends the call, the processes are told to stop, and waited for; should this process be killed, the
    kernel tells them.
    """
    waiting, free = list(reversed(work)), list(reversed(room))
    running: dict[subprocess.Popen[bytes], tuple[Work, Share, float]] = {}
    try:
        while waiting or running:
            while waiting and free:
                one, share = waiting.pop(), free.pop()
                running[_start(one, share)] = one, share, time.monotonic()
            time.sleep(pause)
            for process in [each for each in running if each.poll() is not None]:
                one, share, began = running.pop(process)
                free.append(share)
                ended(one, Done(process.returncode, time.monotonic() - began, _last_line(one.log)))
    finally:
        _stop(list(running))


def _start(work: Work, share: Share) -> "subprocess.Popen[bytes]":
    """Start a command in its share of the machine."""
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(len(share.cpus)))
    if share.gpu:
        environment["CUDA_VISIBLE_DEVICES"] = share.gpu
    prepare, parent = _preparation(share), os.getpid()
    make_folder(work.log.parent)
    with work.log.open("ab") as log:
        log.write(f"$ {' '.join(work.command)}\n".encode())
        log.flush()
        return subprocess.Popen(
            work.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            preexec_fn=lambda: prepare(parent),
        )


def _preparation(share: Share) -> Callable[[int], None]:
    """Return what a new process does before its program begins: it takes its cores, and ends with its parent."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare(parent: int) -> None:
        if library is None:
            return
        os.sched_setaffinity(0, share.cpus)
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # which was killed in the meantime
            os._exit(128 + signal.SIGTERM)

    return prepare


def _stop(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Tell processes to stop, and wait for them; those that do not are killed."""
    with ExitStack() as stack:
        for process in processes:
            stack.callback(process.wait)
            with suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for process in processes:
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - _END, 0))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return one_line(lines[-1]) if lines else ""
