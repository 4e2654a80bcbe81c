"""The peak memory of a command with all that it starts."""

import re
import subprocess
import threading
from pathlib import Path

from processes import descendants

_EVERY = 0.02
"""Seconds between looks: Linux keeps each process's peak, so only what happens right before an end can be missed."""


def with_peak(*command, **options) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run a command; return how it ended, and the memory of its largest process in MiB, workers included."""
    run = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    peaks, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(_EVERY):
            peaks.extend(map(peak_of, (run.pid, *descendants(run.pid))))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        output, errors = run.communicate(timeout=600)
    finally:
        ended.set()
        watcher.join()
        run.kill()
    return subprocess.CompletedProcess(run.args, run.returncode, output, errors), max(peaks) >> 10


def peak_of(process: int) -> int:
    """Return the most memory that a process has had so far, in KiB; 0 once it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) if found else 0
