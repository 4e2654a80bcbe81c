"""The command line, in this process or as its users run it: as a process of its own."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import warm
from click.testing import CliRunner
from spoken import without_progress

PREP = (sys.executable, "-m", "in21k.prep")


class RefusedError(Exception):
    """A command ended with one line, which is the message, and an exit code."""

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.code = code


def error_lines(stderr: str) -> list[str]:
    """Return the lines of stderr that are errors: no notes, and not how a command is used, above an error in that."""
    beside = ("note: ", "Usage: ", "Try ")
    return [line for line in without_progress(stderr).splitlines() if not line.startswith(beside)]


def call(command: str, *arguments) -> dict[str, Any]:
    """Run a command of `in21k-prep` within this process, for speed, and return its JSON summary."""
    from in21k.prep.cli.main import main

    result = CliRunner().invoke(main, [command, *map(str, arguments), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code:
        lines = error_lines(result.stderr)
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("in21k-prep: error: ")
        raise RefusedError(lines[0].removeprefix("in21k-prep: error: "), result.exit_code)
    summary = json.loads(result.stdout)
    assert summary.pop("command") == command
    return summary


def said(command: str, *arguments) -> list[str]:
    """Run a command of `in21k-prep` within this process, and return the lines of its summary."""
    from in21k.prep.cli.main import main

    result = CliRunner().invoke(main, [command, *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def prep(*arguments, before: tuple[str, ...] = (), cold: bool = False, **options) -> subprocess.CompletedProcess[str]:
    """Run `in21k-prep` in a process of its own, below another program where `before` names one.

    It starts cold where a library has to find another environment when it is imported.
    """
    is_cold = before or cold
    command = [*before, *PREP, *map(str, arguments)] if is_cold else warm.python(*PREP[1:], *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def one_line(run: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """Return the one line with which a command refused; anything else fails the test."""
    lines = error_lines(run.stderr)
    assert run.returncode == code, run.stderr
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("in21k-prep: error: ")
    assert run.stdout == ""
    return lines[0]


def digests(folder: Path, pattern: str = "**/*") -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }
