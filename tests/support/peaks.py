"""The peak memory of a command with all that it starts."""

import subprocess
import sys

_BETWEEN = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""
"""Between us and the command, because Linux counts what a process was before it became another program."""


def with_peak(*command, **options) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run a command; return how it ended, and the memory of its largest process in MiB."""
    run = subprocess.run(
        [sys.executable, "-c", _BETWEEN, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        **options,
    )
    *lines, peak = run.stderr.splitlines(keepends=True)
    run.stderr = "".join(lines)
    return run, int(peak) >> 10
