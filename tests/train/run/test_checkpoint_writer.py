"""Checkpoints are written while training goes on: one at a time, the last one awaited, a failure never lost."""

import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train_runs import summary_of

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError
from in21k.train.run import checkpoint_writer
from in21k.train.run.checkpoint import STATE, latest_checkpoint, save_checkpoint
from in21k.train.trainer import loop
from in21k.train.trainer.loop import pretrain
from in21k.train.trainer.preemption import Preempted

TINY = {
    "model.name": "test_resnet",
    "optim.epochs": 2,
    "data.batch_size": 20,
    "run.workers": 0,
    "run.log_steps": 1,
    "run.device": "cpu",
    "run.checkpoint_steps": 2,
    "run.keep_checkpoints": 100,
}
STEPS = 8


def train(dataset: Path, run: Path, **values: object) -> dict:
    config = with_values(Config(), {**TINY, **{key.replace("__", "."): value for key, value in values.items()}})
    return pretrain(str(dataset), run, config, progress=False)


def slowly(monkeypatch, before) -> None:
    """Call a function in the writing thread before each checkpoint."""

    def save(*given, **named):
        before(given[2].step)
        return save_checkpoint(*given, **named)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", save)


def after_each_step(monkeypatch, call) -> None:
    after_step = loop.Trainer._after_step

    def following(trainer):
        after_step(trainer)
        call(trainer.tally.step)

    monkeypatch.setattr(loop.Trainer, "_after_step", following)


def test_steps_go_on_while_a_checkpoint_is_written_and_do_not_change_it(dataset_folder, tmp_path, monkeypatch):
    train(dataset_folder, tmp_path / "expected")
    reached = {step: threading.Event() for step in range(1, STEPS + 1)}
    followed = []
    slowly(monkeypatch, lambda step: followed.append(step == STEPS or reached[step + 1].wait(60)))
    after_each_step(monkeypatch, lambda step: reached[step].set())
    train(dataset_folder, tmp_path / "run")
    assert followed == [True] * 4
    for folder in sorted((tmp_path / "expected" / "checkpoints").iterdir()):
        for file in folder.glob("*.safetensors"):
            written = load_file(tmp_path / "run" / "checkpoints" / folder.name / file.name)
            assert all(torch.equal(tensor, written[name]) for name, tensor in load_file(file).items())


def test_one_is_written_at_a_time_and_the_run_ends_after_the_last(dataset_folder, tmp_path, monkeypatch):
    under_way = []

    def slow(step: int) -> None:
        under_way.append(sum(each.name == "in21k-checkpoint" for each in threading.enumerate()))
        time.sleep(0.2)

    slowly(monkeypatch, slow)
    train(dataset_folder, tmp_path, run__checkpoint_steps=1)
    assert under_way == [1] * STEPS
    newest = latest_checkpoint(tmp_path)
    assert newest.name == f"step-{STEPS:08d}"
    assert summary_of(tmp_path)["checkpoint"] == str(newest)


def test_a_preempted_run_ends_after_its_checkpoint(dataset_folder, tmp_path, monkeypatch):
    slowly(monkeypatch, lambda _: time.sleep(0.5))
    after_each_step(monkeypatch, lambda step: step == 2 and os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted) as stopped:
        train(dataset_folder, tmp_path)
    assert (tmp_path / f"checkpoints/step-{stopped.value.step:08d}" / STATE).exists()
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize("failing", [2, STEPS], ids=["one under way", "the last one"])
def test_a_checkpoint_that_cannot_be_written_ends_the_run_with_its_error(
    dataset_folder, tmp_path, monkeypatch, failing
):
    sync, steps = os.fsync, []

    def fsync(descriptor: int) -> None:
        if f"step-{failing:08d}" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    after_each_step(monkeypatch, steps.append)
    with pytest.raises(TrainError, match=rf"step-{failing:08d} cannot be written: .*No space left on device"):
        train(dataset_folder, tmp_path, run__checkpoint_steps=failing)
    assert max(steps) < 2 * failing  # by the next checkpoint at the latest
    assert not (tmp_path / "summary.json").exists()
    assert not list(tmp_path.glob("checkpoints/*"))


def test_a_checkpoint_under_way_is_completed_when_an_error_ends_the_run(dataset_folder, tmp_path, monkeypatch):
    def fail(step: int) -> None:
        if step == 2:
            raise TrainError("enough")

    slowly(monkeypatch, lambda _: time.sleep(0.5))
    after_each_step(monkeypatch, fail)
    with pytest.raises(TrainError, match="enough"):
        train(dataset_folder, tmp_path)
    assert (latest_checkpoint(tmp_path) / STATE).exists()
