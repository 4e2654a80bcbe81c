"""Ctrl-C as a terminal sends it: to a command, its workers and what they start from, all at once."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PREP, digests, error_lines, prep
from kills import OPTIONS, draw_dump, progress
from processes import descendants, until
from small_dataset import write_dataset
from train_runs import FIXED, train_command, train_losses


def start(command: list[str]) -> subprocess.Popen[str]:
    """Start a command as the leader of a process group, to which Ctrl-C means something."""
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's ignore it
    )


def press_ctrl_c(run: subprocess.Popen[str]) -> list[str]:
    """Return the lines that a group of processes then prints on stderr, but for notes."""
    assert run.poll() is None, run.communicate()[1]
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=120)
    return [line for line in error_lines(errors) if line]


def servers(run: subprocess.Popen[str]) -> int:
    """The processes below a command that are servers of workers or workers."""
    found = 0
    for process in descendants(run.pid):
        try:
            found += b"multiprocessing.forkserver" in Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
    return found


def newest(run: Path) -> int:
    """The last step that a run has logged; 0 for none."""
    return max(train_losses(run), default=0) if (run / "metrics.csv").exists() else 0


@pytest.mark.guard
def test_ctrl_c_to_a_preparation_and_its_workers_is_one_line_and_costs_nothing(tmp_path):
    raw = draw_dump(tmp_path / "raw.tar")
    arguments = ("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS)
    for moment in (servers, lambda _: progress(tmp_path) > 3, lambda _: (tmp_path / "out").exists()):
        run = start([*PREP, *map(str, arguments)])
        until(lambda run=run, moment=moment: moment(run) or run.poll() is not None)
        assert press_ctrl_c(run) == ["in21k-prep: interrupted; run the same command again to continue"]
        assert run.returncode == 130
    assert prep(*arguments).returncode == 0
    assert prep("run", raw, tmp_path / "work-2", tmp_path / "out-2", *OPTIONS).returncode == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "out-2")


INTERRUPTED_START = """
import multiprocessing.forkserver as server, os, signal
from in21k.prep.cli.main import main
connect = server.connect_to_new_process
def interrupted(fds):
    ends = connect(fds)
    os.kill(os.getpid(), signal.SIGINT)  # the worker is there, and does not know yet what to do
    return ends
server.connect_to_new_process = interrupted
if __name__ == "__main__":
    main()
"""


def test_ctrl_c_while_a_worker_starts_is_one_line(tmp_path):
    raw, script = draw_dump(tmp_path / "raw.tar"), tmp_path / "script.py"
    script.write_text(INTERRUPTED_START)
    run = start([sys.executable, str(script), *map(str, ("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS))])
    _, errors = run.communicate(timeout=120)
    lines = [line for line in error_lines(errors) if line]
    assert lines == ["in21k-prep: interrupted; run the same command again to continue"]
    assert run.returncode == 130


@pytest.mark.guard
def test_ctrl_c_to_torchrun_its_ranks_and_their_loader_processes(tmp_path):
    dataset, folder = write_dataset(tmp_path / "data"), tmp_path / "run"
    arguments = ["pretrain", dataset, "--output", folder, *FIXED, "--workers", 1, "--batch-size", 12]
    arguments += ["--set", "run.checkpoint_steps=2", "--epochs", 4000, "--resume"]
    reached = [0]
    for moment in (servers, lambda _: newest(folder) >= 3, lambda _: newest(folder) > max(reached)):
        run = start(train_command(*arguments, processes=2))
        until(lambda run=run, moment=moment: moment(run) or run.poll() is not None)
        lines = press_ctrl_c(run)
        ours = {line.partition(";")[0] for line in lines if "in21k" in line}
        assert len(ours) == 1, lines
        assert re.fullmatch(r"in21k-train: (interrupted|stopped by Ctrl-C at step \d+)", ours.pop()), lines
        assert sum(line.startswith("Traceback ") for line in lines) == 1, lines
        reached.append(newest(folder))
