"""A check in a process of its own: whatever becomes of it, the others go on."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gpu.check import FAILED, Result, one_line

MARK = "IN21K_GPU_CHECK"
"""The environment variable that names the check in all processes that it starts, however they detach themselves."""

_running: set[str] = set()
"""The checks that are under way."""

_TAIL = 30
"""Lines of a log to show."""


def run_apart(name: str, command: Sequence[str], answer: Path, log: Path, seconds: float) -> Result:
    """Run a check's command and return how the check ended.

    Args:
        name: of the check.
        command: which writes the file `answer`; see `check.carry_out`.
        answer: a file that does not exist yet.
        log: the file that gets what the command prints.
        seconds: after which the check has failed; the command is then ended with all that it started.
    """
    mark, began = f"{os.getpid()}/{name}", time.monotonic()
    _running.add(mark)
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, MARK: mark})
        try:
            status: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end(mark)
            with suppress(subprocess.TimeoutExpired):  # a process that waits for its GPU in the kernel cannot be ended
                process.wait(30)
            _running.discard(mark)
    return replace(_result(name, answer, log, status, seconds), seconds=round(time.monotonic() - began, 1))


def end_all() -> None:
    """End all checks that are under way."""
    for mark in tuple(_running):
        _end(mark)


def _end(mark: str) -> None:
    """End all processes of a check."""
    wanted = f"{MARK}={mark}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # another user's process, or one that is gone
            if wanted in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)


def tail(folder: Path) -> str:
    """Return the last lines of the logs in a check's folder."""
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    parts = [(path.name, path.read_text(errors="replace").splitlines()[-_TAIL:]) for path in logs]
    return "\n".join(line for name, lines in parts if lines for line in (f"--- {name}", *lines))


def _result(name: str, answer: Path, log: Path, status: int | None, seconds: float) -> Result:
    if status is None:
        return Result(name, FAILED, f"still running after {seconds:g} s, so it was ended")
    if status == 0 and answer.exists():
        return Result(**json.loads(answer.read_text(encoding="utf-8")))
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    said = log.read_text(errors="replace").splitlines()
    return Result(name, FAILED, one_line(f"ended with {how}: {said[-1] if said else 'nothing was printed'}"))
