"""The check for a machine with a GPU: its runner and its table here, and on a CPU all of it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import warm
from gpu import check as checking
from gpu import copies
from gpu.all_checks import CHECKS, MACHINE
from gpu.all_checks import SCHEMES as CHECKED
from gpu.apart import run_apart
from gpu.check import FAILED, PASSED, SKIPPED, Check, Failed, Outcome, Result, Skip, carry_out, function_of, result_of
from gpu.loss_values import _gaps
from gpu.setup import Setup
from gpu.table import markdown, summary
from gpu.trainer import STEPS, learns, same_losses
from processes import lives, until

from in21k.train.losses.schemes import SCHEMES

BENCH = Path(__file__).parents[2] / "bench"
SETUP = Setup("cpu", "scratch", "planted")
PLANTED = Check("planted", "nowhere.planted")
HANGING = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(3600)
"""


def gpu_check(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = warm.python(BENCH / "gpu_check.py", *arguments)
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def planted(monkeypatch, function) -> Result:
    monkeypatch.setattr(checking, "function_of", lambda _: function)
    return result_of(PLANTED, SETUP)


def raising(error: Exception):
    def function(setup: Setup) -> Outcome:
        raise error

    return function


def apart(folder: Path, code: str, seconds: float = 120) -> Result:
    command = [sys.executable, "-c", code, str(folder / "answer.json")]
    return run_apart("planted", command, folder / "answer.json", folder / "check.log", seconds)


@pytest.mark.parametrize(
    ("function", "status", "note"),
    [
        (lambda setup: Outcome(f"on a {setup.device}"), PASSED, "on a cpu"),
        (raising(Failed("step 3:\nloss 2")), FAILED, "step 3: loss 2"),
        (raising(Skip("needs a compiler")), SKIPPED, "needs a compiler"),
        (raising(RuntimeError("device-side assert")), FAILED, "RuntimeError: device-side assert"),
    ],
)
def test_a_check_passes_fails_or_is_skipped_with_a_line(monkeypatch, function, status, note):
    assert planted(monkeypatch, function) == Result("planted", status, note)


def test_what_a_check_has_seen_comes_back_from_its_process(monkeypatch, tmp_path):
    monkeypatch.setattr(checking, "function_of", lambda _: lambda _: Outcome("seen", {"a": "1 ms"}, {"a": 1}))
    carry_out(PLANTED, SETUP, tmp_path / "made.json")
    found = apart(tmp_path, f"import shutil, sys; shutil.copy({str(tmp_path / 'made.json')!r}, sys.argv[1])")
    assert (found.status, found.note, found.figures, found.facts) == (PASSED, "seen", {"a": "1 ms"}, {"a": 1})


def test_a_check_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    found = apart(tmp_path, HANGING, seconds=5)
    assert (found.status, found.note) == (FAILED, "still running after 5 s, so it was ended")
    child = int((tmp_path / "check.log").read_text())
    until(lambda: not lives(child))


@pytest.mark.parametrize(
    ("code", "note"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended with signal 11: nothing was printed"),
        ("import sys; print('CUDA is gone'); sys.exit(3)", "ended with exit status 3: CUDA is gone"),
        ("import os, sys; open(sys.argv[1], 'w').write('{}'); os.abort()", "ended with signal 6: nothing was printed"),
    ],
)
def test_a_check_that_crashes_has_failed_whatever_it_answered(tmp_path, code, note):
    found = apart(tmp_path, code)
    assert (found.status, found.note) == (FAILED, note)


RESULTS = [
    Result("one", PASSED, "a | b", 12.4, {"loss, 8 × 9": "1 ms"}),
    Result("two", FAILED, "step 3", 1.0),
    Result("three", SKIPPED, "needs 2 GPUs"),
]


def test_the_table_has_a_row_per_check_and_per_figure():
    table = markdown({"GPU": "H100", "torch": "2.15"}, RESULTS, on_gpu=True)
    assert table.startswith("GPU H100, torch 2.15.\n\n| check | result | seconds | what was seen |\n")
    assert (
        "| one | passed | 12 | a \\| b |\n| two | failed | 1 | step 3 |\n| three | skipped | 0 | needs 2 GPUs |"
        in table
    )
    assert "| figure | measured |\n| --- | --- |\n| loss, 8 × 9 | 1 ms |\n" in table
    assert table.endswith(f"\n{summary(RESULTS)}\n")
    assert summary(RESULTS) == "3 checks: 1 passed, 1 failed, 1 skipped."


def test_figures_of_a_cpu_are_marked():
    assert "| loss, 8 × 9 | 1 ms (tried) |" in markdown({"CPU": "EPYC"}, RESULTS, on_gpu=False)


def test_losses_that_differ_or_do_not_fall_fail_a_check():
    losses = {step: 3.0 - step / STEPS for step in range(1, STEPS + 1)}
    assert "1e-0" in same_losses(losses, {step: loss * 1.00001 for step, loss in losses.items()}, 1e-4, 1e-4)
    for wrong in (losses | {5: 2.0}, losses | {5: float("nan")}, {1: 3.0}):
        with pytest.raises(Failed, match=r"step 5: loss|1 steps are logged"):
            same_losses(wrong, losses, 1e-4, 1e-2)
    assert learns(losses).startswith("loss from ")
    for wrong in (dict.fromkeys(losses, 2.0), losses | {5: float("inf")}, {1: 3.0}):
        with pytest.raises(Failed, match=r"fell from 2 to 2 only|are finite"):
            learns(wrong)


def test_a_batch_that_arrives_changed_fails_its_check(monkeypatch, tmp_path):
    def changed(batches, device):
        for step, batch in enumerate(batches):
            batch.images[-1, 2, 1, 0] ^= step == 3
            yield batch

    monkeypatch.setattr(copies, "on_device", changed)
    monkeypatch.setattr(copies, "EPOCHS", 1)
    with pytest.raises(Failed, match="1 of 9 batches differ, the first at step 3"):
        copies.arrive(Setup("cpu", str(tmp_path)), pinned=False)


def test_the_gap_of_a_gradient_is_that_of_its_multiple():
    gradient = torch.tensor([[0.5, -0.001, 1e-9]], dtype=torch.float64)
    assert _gaps((2.0, gradient), 4.0, (2.0, 4 * gradient)) == (0.0, 0.0)
    assert _gaps((2.0, gradient), 4.0, (2.02, 4.04 * gradient)) == pytest.approx((0.01, 0.01))
    assert _gaps((2.0, gradient), 4.0, (2.0, 4 * gradient * torch.tensor([1, 1, 2.0]))) == pytest.approx((0, 2e-6))
    assert _gaps((2.0, gradient), 4.0, (2.0, gradient * torch.nan))[1] != 0


def test_every_check_has_a_name_of_its_own_and_a_function():
    names = [check.name for check in (MACHINE, *CHECKS)]
    assert len(set(names)) == len(names)
    assert set(CHECKED) == set(SCHEMES)
    assert all(callable(function_of(check)) for check in (MACHINE, *CHECKS))


def test_the_checks_are_listed_and_unknown_ones_refused():
    done = gpu_check("--list")
    assert done.stdout.split() == [check.name for check in CHECKS]
    assert gpu_check("--list", "--only", "sync-bn", "loss-*").stdout.split()[:2] == ["sync-bn", "loss-semantic-softmax"]
    assert set(gpu_check("--list", "--quick").stdout.split()) < set(done.stdout.split())
    refused = gpu_check("--only", "gone")
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (
        2,
        "gpu_check.py: error: no check is called gone; --list shows them",
    )


def test_without_a_gpu_the_first_check_says_so_and_the_status_is_1(tmp_path):
    done = gpu_check("--device", "cuda", "--output", tmp_path / "table.md", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1, done.stderr
    table = (tmp_path / "table.md").read_text()
    assert re.search(r"^\| machine \| failed \| \d+ \| TrainError: there is no CUDA device", table, re.M)
    assert table.endswith("\n1 checks: 0 passed, 1 failed, 0 skipped.\n")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_on_a_cpu_all_of_it_runs_through(tmp_path):
    done = gpu_check("--device", "cpu", "--output", tmp_path / "table.md", "--json", tmp_path / "found.json")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    results = {each["name"]: each for each in json.loads((tmp_path / "found.json").read_text())["checks"]}
    assert list(results) == ["machine", *(check.name for check in CHECKS)]
    assert {name for name, each in results.items() if each["status"] == SKIPPED} == {
        "tests",
        *(check.name for check in CHECKS if check.gpu_only or check.name.startswith("timm-")),
    }
    rows = re.findall(r"^\| (\S+) \| (\w+) \| \d+ \| .* \|$", (tmp_path / "table.md").read_text(), re.M)
    assert dict(rows) == {name: each["status"] for name, each in results.items()}
