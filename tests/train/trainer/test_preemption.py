"""SIGTERM to a training run: all ranks stop after the same step, with a checkpoint to resume."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from train_runs import FIXED, run_train, summary_of, train_losses

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.scheme_metrics import SchemeMetrics
from in21k.train.trainer import preemption
from in21k.train.trainer.loop import pretrain
from in21k.train.trainer.preemption import Preempted, stop_request

EPOCHS = 8
OPTIONS = [*FIXED, "--epochs", EPOCHS, "--batch-size", 12, "--workers", 0]


SIGNALLED = """
import os, signal
from in21k.train.cli.main import main
from in21k.train.trainer import loop
after_step = loop.Trainer._after_step
def signalled(trainer):
    after_step(trainer)
    if trainer.tally.step == 3 and str(trainer.session.ranks.rank) in os.environ["SIGNALLED_RANKS"]:
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))
loop.Trainer._after_step = signalled
if __name__ == "__main__":
    main()
"""


def stopped(dataset: Path, run: Path, ranks: tuple[int, ...], processes: int, number: int) -> tuple[int, int]:
    """Run and signal these ranks after step 3; return the exit status and the step at which it says it stopped."""
    script = run.with_name("signalled.py")
    script.write_text(SIGNALLED)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    command = [*launcher, script] if processes > 1 else [sys.executable, script]
    command += ["pretrain", dataset, "--output", run, *OPTIONS]
    environment = os.environ | {"SIGNALLED_RANKS": " ".join(map(str, ranks)), "SIGNAL": str(int(number))}
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's ignore it
    )
    said = [line for line in done.stderr.splitlines() if "in21k-train: " in line]
    assert len(said) == 1, done.stderr
    words = said.pop().removesuffix("; continue with --resume").split()
    assert words[:-1] == f"in21k-train: stopped by {preemption.NAMES[number]} at step".split()
    return done.returncode, int(words[-1])


@pytest.fixture(scope="module")
def uncut(dataset_folder, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("preemption") / "uncut"
    done = run_train("pretrain", dataset_folder, "--output", run, *OPTIONS)
    assert done.returncode == 0, done.stderr
    return run


@pytest.mark.parametrize(
    ("ranks", "processes", "number"),
    [
        pytest.param((0,), 1, signal.SIGTERM, id="alone", marks=pytest.mark.slow),
        pytest.param((1,), 2, signal.SIGTERM, id="only rank 1", marks=pytest.mark.guard),
        pytest.param((0,), 2, signal.SIGTERM, id="only rank 0", marks=pytest.mark.slow),
        pytest.param((0, 1), 2, signal.SIGTERM, id="both", marks=pytest.mark.slow),
        pytest.param((0,), 1, signal.SIGINT, id="Ctrl-C alone", marks=pytest.mark.guard),
        pytest.param((1,), 2, signal.SIGINT, id="Ctrl-C to rank 1", marks=pytest.mark.slow),
    ],
)
def test_it_stops_with_a_checkpoint_that_resumes(uncut, dataset_folder, tmp_path, ranks, processes, number):
    run = tmp_path / "run"
    status, step = stopped(dataset_folder, run, ranks, processes, number)
    if number == signal.SIGINT:
        assert status == (130 if processes == 1 else 1)  # torchrun's own
    else:
        assert status == 0
    assert 3 <= step <= 5
    assert (run / f"checkpoints/step-{step:08d}/state.json").exists()
    assert max(train_losses(run)) == step
    assert not (run / "summary.json").exists()
    done = run_train("pretrain", dataset_folder, "--output", run, *OPTIONS, "--resume")
    assert done.returncode == 0, done.stderr
    assert summary_of(run)["resumed_at_step"] == step
    if processes == 1:
        assert (run / "metrics.csv").read_text().count("val") == EPOCHS
        assert train_losses(run) == train_losses(uncut)
        assert summary_of(run)["val_loss"] == summary_of(uncut)["val_loss"]
    else:
        assert train_losses(run) == pytest.approx(train_losses(uncut), rel=1e-3)


@pytest.fixture
def earlier_handler():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("ended"))
    yield seen
    signal.signal(signal.SIGTERM, before)


def test_a_second_sigterm_ends_at_once(earlier_handler, cpu, monkeypatch):
    monkeypatch.setattr(preemption, "SAME_REQUEST_SECONDS", 0.0)
    with stop_request(cpu) as request:
        assert not request.agree().number
        signal.raise_signal(signal.SIGTERM)
        assert (bool(request.agree().number), earlier_handler) == (True, [])
        signal.raise_signal(signal.SIGTERM)
        assert earlier_handler == ["ended"]


def test_the_same_sigterm_twice_is_one(earlier_handler, cpu):
    """A scheduler signals every process, and torchrun forwards the signal to its own."""
    with stop_request(cpu) as request:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert (bool(request.agree().number), earlier_handler) == (True, [])
    signal.raise_signal(signal.SIGTERM)
    assert earlier_handler == ["ended"], "outside of the loop it does what it did"


@pytest.fixture
def earlier_key():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_ends_at_once(earlier_key, cpu, monkeypatch):
    with stop_request(cpu) as request:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # what `timeout` passes on at the same moment
        assert request.agree().number == signal.SIGINT
        monkeypatch.setattr(preemption, "SAME_KEY_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_sigterm_that_torchrun_sends_after_ctrl_c_is_the_same_request(earlier_key, earlier_handler, cpu):
    with stop_request(cpu) as request:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert (request.agree().number, earlier_handler) == (signal.SIGINT, [])


def test_a_background_jobs_ignored_ctrl_c_stays_ignored(cpu):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_request(cpu) as request:
            signal.raise_signal(signal.SIGINT)
            assert not request.asked
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def cpu() -> Ranks:
    return Ranks(torch.device("cpu"))


def test_a_val_pass_is_cut_short_and_repeated_on_resume(dataset_folder, tmp_path, monkeypatch, capsys, earlier_key):
    """Even if no checkpoint was due at that step. Resumed, a run says where it starts."""
    values = {"model.name": "test_resnet", "optim.epochs": 2, "data.batch_size": 30, "data.eval_batch_size": 2}
    more = {"optim.ema_decay": 0.5, "run.checkpoint_steps": 100, "run.log_steps": 1, "run.workers": 0}
    config = with_values(Config(), {**values, **more, "run.device": "cpu"})
    update, calls = SchemeMetrics.update, []

    def signalled(self, *batch):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        update(self, *batch)

    monkeypatch.setattr(SchemeMetrics, "update", signalled)
    with pytest.raises(Preempted, match="stopped by Ctrl-C at step 3; continue with --resume"):
        pretrain(str(dataset_folder), tmp_path / "cut", config, resume=True, progress=False)
    assert len(calls) == 3
    assert f"note: no checkpoint in {tmp_path / 'cut'} yet: starting at step 0\n" in capsys.readouterr().err
    cut = pretrain(str(dataset_folder), tmp_path / "cut", config, resume=True, progress=False)
    told = capsys.readouterr().err
    assert "resumed after step 3, 1 of 2 epochs, from " in told
    assert "no checkpoint" not in told
    uncut = pretrain(str(dataset_folder), tmp_path / "uncut", config, progress=False)
    assert cut["resumed_at_step"] == 3
    assert cut["val_loss"] == uncut["val_loss"]
    rows = [
        [line.split(",")[:4] for line in (tmp_path / run / "metrics.csv").read_text().splitlines()]
        for run in ("cut", "uncut")
    ]
    assert rows[0] == rows[1]
