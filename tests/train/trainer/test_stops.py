"""Runs that end early leave nothing behind, tell the other ranks, and resume under torchrun's restart."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from noting import kill_all
from processes import descendants, until
from spoken import without_progress
from train_runs import FAILING, FIXED, OPTIONS, run_train, summary_of, train_command, train_losses


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def shared_memory() -> set[str]:
    return {
        path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(("torch", "in21k", "psm_", "pymp"))
    }


@pytest.mark.guard
def test_loader_processes_end_with_a_trainer_that_is_killed(dataset_folder, tmp_path):
    run = tmp_path / "run"
    arguments = ["--output", run, "--workers", 2, *FIXED, "--epochs", 4000, "--batch-size", 12]
    process = subprocess.Popen(train_command("pretrain", dataset_folder, *arguments), stderr=subprocess.DEVNULL)
    below: set[int] = set()
    try:
        until(lambda: (run / "metrics.csv").exists() and max(train_losses(run), default=0) >= 3)
        below = descendants(process.pid)
        assert len(below) >= 3  # forkserver and workers
        process.kill()
        process.wait()
        until(lambda: not any(map(is_running, below)), seconds=60)
    finally:
        for left in filter(is_running, {process.pid, *below}):
            os.kill(left, signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "processes"),
    [
        (signal.SIGTERM, 1),
        pytest.param(signal.SIGINT, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.guard),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.guard),
    ],
    ids=["SIGTERM", "SIGINT", "SIGTERM-to-torchrun", "SIGINT-to-torchrun"],
)
def test_a_signal_leaves_nothing_behind(dataset_folder, tmp_path, number, processes):
    before, run = shared_memory(), tmp_path / "run"
    arguments = ["--output", run, "--workers", 1, *FIXED, "--epochs", 4000, "--batch-size", 12]
    command = train_command("pretrain", dataset_folder, *arguments, processes=processes)
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's ignore it
    )
    try:
        until(lambda: (run / "metrics.csv").exists() and max(train_losses(run), default=0) >= 3)
        children = descendants(process.pid)
        assert len(children) >= 3  # the resource tracker, the fork server and its worker
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            kill_all(process, descendants(process.pid))
    lines = [line for line in without_progress(errors).splitlines() if line.startswith("in21k-train: ")]
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert re.fullmatch(rf"in21k-train: stopped by {name} at step \d+; continue with --resume", "\n".join(lines))
    if processes == 1:
        assert process.returncode == (0 if number == signal.SIGTERM else 128 + number)
    else:
        assert process.returncode != 0
    until(lambda: not any(map(is_running, children)), 60)
    assert shared_memory() <= before
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".tmp-")]
    assert not (run / "summary.json").exists()


def torchrun_failing(tmp_path, dataset, run, *torchrun, fail_times: int):
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", *torchrun]
    options = [*OPTIONS, "--set", "run.checkpoint_steps=4", "--workers", "1", *FIXED]
    command = [*launcher, str(script), "pretrain", str(dataset), "--output", str(run), *map(str, options)]
    environment = {**os.environ, "FAIL_AT": "10", "FAIL_TIMES": str(fail_times)}
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=environment)


@pytest.mark.guard
def test_a_rank_that_fails_ends_the_job_with_its_error(dataset_folder, tmp_path):
    done = torchrun_failing(tmp_path, dataset_folder, tmp_path / "run", fail_times=9)
    assert (tmp_path / "failed").exists()
    assert done.returncode != 0
    assert "in21k-train: error: rank 1 has had enough" in done.stderr
    assert "  traceback : in21k-train: error: rank 1 has had enough\n" in done.stderr  # at the end of torchrun's report
    assert max(train_losses(tmp_path / "run")) == 10


@pytest.mark.guard
def test_torchruns_restart_resumes_from_the_last_checkpoint(dataset_folder, tmp_path):
    run = tmp_path / "run"
    done = torchrun_failing(tmp_path, dataset_folder, run, "--max-restarts", "1", fail_times=1)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "rank 1 has had enough" in done.stderr
    assert summary_of(run)["resumed_at_step"] == 8
    assert sorted(train_losses(run)) == list(range(1, 29))


KEYS = """
import json, os, sys
from in21k.train.trainer import loop
from in21k.train.cli.main import main
step = loop.Session.train_step
def noting(session, batch, number):
    labels, sums = batch.labels, batch.images.long().sum((1, 2, 3))
    line = [number, labels.epoch, labels.start, labels.class_indices.tolist(), sums.tolist()]
    with open(os.environ["KEYS"] + f".{os.getpid()}", "a") as file:
        file.write(json.dumps(line) + "\\n")
    return step(session, batch, number)
loop.Session.train_step = noting
if __name__ == "__main__":
    main()
"""


def noted(folder: Path) -> dict[int, list]:
    """The samples of each global step, over all its ranks."""
    steps: dict[int, dict[int, list]] = {}
    for path in folder.glob("keys.*"):
        for line in path.read_text().splitlines():
            if not line.endswith("]"):
                continue  # cut by the kill
            number, epoch, start, labels, sums = json.loads(line)
            steps.setdefault(number, {})[epoch * 10**6 + start] = list(zip(labels, sums, strict=True))
    return {number: [image for _, part in sorted(parts.items()) for image in part] for number, parts in steps.items()}


def noting_command(folder: Path, dataset: Path, processes: int, workers: int, *more: object) -> tuple[list[str], dict]:
    script = folder / "noting.py"
    script.write_text(KEYS)
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    options = ["--output", folder / "run", "--workers", workers, *FIXED, "--epochs", 2, "--batch-size", 12]
    options += ["--set", "run.checkpoint_steps=3", *more]
    command = [*launcher, str(script), "pretrain", str(dataset), *map(str, options)]
    return command, {**os.environ, "KEYS": str(folder / "keys")}


@pytest.fixture(scope="module")
def alone(dataset_folder, tmp_path_factory) -> dict[int, list]:
    folder = tmp_path_factory.mktemp("alone")
    command, environment = noting_command(folder, dataset_folder, 1, 0)
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=500)
    steps = noted(folder)
    assert sorted(steps) == list(range(14))
    return steps


@pytest.mark.parametrize(
    ("processes", "workers"),
    [
        pytest.param(1, 2, marks=pytest.mark.slow),
        pytest.param(2, 1, marks=pytest.mark.guard),
        pytest.param(2, 3, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_processes_and_workers_see_the_same_batches(alone, dataset_folder, tmp_path, processes, workers):
    command, environment = noting_command(tmp_path, dataset_folder, processes, workers)
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=500)
    assert noted(tmp_path) == alone


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param(((1, 2), (1, 0)), id="once", marks=pytest.mark.slow),
        pytest.param(((1, 2), (2, 1)), id="elsewhere", marks=pytest.mark.slow),
        pytest.param(((2, 3), (1, 0), (2, 1)), id="twice", marks=pytest.mark.guard),
    ],
)
def test_killed_at_random_steps_and_resumed_elsewhere_every_batch_is_seen(alone, dataset_folder, tmp_path, counts):
    seen: dict[int, list] = {}
    for at, (processes, workers) in enumerate(counts):
        for path in tmp_path.glob("keys.*"):
            path.unlink()
        command, environment = noting_command(tmp_path, dataset_folder, processes, workers, "--resume")
        process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if at + 1 < len(counts):
            until(lambda step=4 + 4 * at: max(noted(tmp_path), default=0) >= step)
            for member in {process.pid, *descendants(process.pid)}:  # torchrun's processes have sessions of their own
                os.kill(member, signal.SIGKILL)
        process.wait(timeout=500)
        part = noted(tmp_path)
        complete = {number: images for number, images in part.items() if len(images) == 12}
        assert all(images == alone[number] for number, images in complete.items())
        seen.update(complete)
    assert process.returncode == 0
    assert seen == alone
    assert re.fullmatch(r"[3-9]|1[0-4]", str(summary_of(tmp_path / "run")["resumed_at_step"]))


def test_a_store_that_disappears_is_one_line(tmp_path):
    port = 9
    uri = f"s3://k:s@bucket/data?scheme=http&endpoint_override=127.0.0.1:{port}"
    os.environ["IN21K_RETRY_SECONDS"] = "2"
    try:
        done = run_train("pretrain", uri, "--scratch", "--model", "test_resnet", "--output", tmp_path / "run")
    finally:
        del os.environ["IN21K_RETRY_SECONDS"]
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "k:s@" not in done.stderr
