"""A test that hangs fails in time, and whatever it started ends."""

import os
import subprocess
import sys
from pathlib import Path

from processes import started_with, until

TESTS = Path(__file__).resolve().parent
HANGS = """
import subprocess

def test_hangs():
    subprocess.run(["sh", "-c", "sleep 600 & echo started; wait"])

def test_another():
    pass
"""


def test_a_hung_test_fails_and_its_orphans_end_and_the_next_one_runs(tmp_path):
    (tmp_path / "test_it.py").write_text(HANGS)
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "--timeout", "2"]
    paths = os.pathsep.join([str(TESTS), str(TESTS / "support"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "HUNG": str(tmp_path)}
    run = subprocess.run([*command, tmp_path], env=environment, capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed" in run.stdout
    assert "started" in run.stdout
    assert "Timeout (>2.0s)" in run.stdout
    until(lambda: not started_with(HUNG=str(tmp_path)))


def test_every_test_has_a_time_limit(request):
    assert request.config.getini("timeout") == "300"
    assert request.config.getini("timeout_method") == "signal"
