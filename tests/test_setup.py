"""`make setup` says how far it has come, without what pip says besides."""

import os
import subprocess
from pathlib import Path

import pytest
from spoken import on_terminal

ROOT = Path(__file__).resolve().parents[1]

PIP = """#!/bin/sh
case "$*" in *" install "*) ;; *) exit 0 ;; esac
echo "WARNING: an index is slow" >&2
echo "Collecting torch==2.9.1 (from -r lock.txt (line 2))"
echo "  Downloading https://host/torch-2.9.1-cp311.whl.metadata (30 kB)"
echo "Requirement already satisfied: six==1.17.0 in lib"
echo "Ignoring colorama: markers 'sys_platform == win32' don't match your environment"
echo "  Downloading https://host/torch-2.9.1-cp311.whl (899.8 MB)"
echo "  Using cached tqdm-4.67.1-py3-none-any.whl (78 kB)"
echo "Processing /cache/numpy-2.3.5-cp311.whl (from -r lock.txt (line 9))"
echo "Installing collected packages: numpy, torch, tqdm"
[ -z "$FAILS" ] || { echo "ERROR: no hash of torch matches" >&2; exit 1; }
"""


@pytest.fixture
def command(tmp_path) -> list[str]:
    """The installation of a lock of five packages, with a pip that says what pip says."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PIP)
    python.chmod(0o755)
    lock = tmp_path / "lock.txt"
    names = ("colorama", "numpy", "six", "torch", "tqdm")
    lock.write_text("".join(f"{name}==1.0 \\\n    --hash=sha256:0\n" for name in names))
    return ["sh", str(ROOT / "scripts" / "setup.sh"), str(tmp_path / "venv"), str(lock)]


def test_a_log_has_a_line_for_what_is_large(command):
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    first, *lines = run.stdout.splitlines()
    assert first.startswith("setup: installing the packages of ")
    assert lines == ["setup: 3 of 5: torch (899.8 MB)", "setup: unpacking them, of which pip says nothing"]
    assert run.stderr == ""


def test_a_terminal_has_one_line_that_changes(command):
    *_, last = on_terminal(*command).split("\r\n")
    assert [each.removeprefix("\x1b[K") for each in last.split("\r")] == [
        "",
        "setup: 3 of 5: torch (899.8 MB)",
        "setup: 4 of 5: tqdm (78 kB)",
        "setup: 5 of 5: numpy",
        "setup: unpacking them, of which pip says nothing",
        "",
    ]


def test_what_pip_complains_of_is_said_where_it_fails(command):
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"FAILS": "1"})
    assert run.returncode == 1
    assert run.stderr.splitlines()[1:] == [
        "ERROR: no hash of torch matches",
        f"setup: pip could not install the packages of {command[-1]}",
    ]
