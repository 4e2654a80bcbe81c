"""Non-finite losses, gradients and weights end a run before they reach a checkpoint."""

import math
from pathlib import Path

import pytest
import torch
from train_runs import train_losses

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError
from in21k.train.run.checkpoint import latest_checkpoint, load_state
from in21k.train.trainer import session
from in21k.train.trainer.finite import GradientWatch
from in21k.train.trainer.loop import pretrain

SETTINGS = {
    "model.name": "test_resnet",
    "data.batch_size": 20,
    "optim.epochs": 3,
    "run.device": "cpu",
    "run.workers": 0,
    "run.log_steps": 4,
    "run.checkpoint_steps": 2,
}


def train(dataset: Path, run: Path, **values) -> None:
    changed = {**SETTINGS, **{key.replace("__", "."): value for key, value in values.items()}}
    pretrain(str(dataset), run, with_values(Config(), changed), progress=False)


def spoiling(monkeypatch, call: int, spoil) -> None:
    """Replace the value of one call of the loss, counted from 1."""
    calls, loss = [], session.Session.batch_loss

    def spoilt(self, *batch):
        calls.append(1)
        value = loss(self, *batch)
        return spoil(value, next(self.network.module.parameters())) if len(calls) == call else value

    monkeypatch.setattr(session.Session, "batch_loss", spoilt)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda loss, weight: loss * math.inf, "the loss is inf from step 6 on; start a new run with a lower --lr"),
        (
            lambda loss, weight: loss + (weight * 0).abs().sqrt().sum(),  # 0, with an infinite slope
            "the gradient is not finite from step 6 on; start a new run with a lower --lr",
        ),
    ],
    ids=["loss", "gradient"],
)
def test_the_step_and_the_remedy_are_named_and_no_checkpoint_is_spoilt(
    dataset_folder, tmp_path, monkeypatch, spoil, message
):
    run = tmp_path / "run"
    spoiling(monkeypatch, 6, spoil)
    with pytest.raises(TrainError, match=message):
        train(dataset_folder, run)
    assert load_state(latest_checkpoint(run)).step == 4
    assert max(train_losses(run)) == 4
    assert not (run / "summary.json").exists()


def test_weights_that_the_update_itself_spoils_are_not_saved(dataset_folder, tmp_path, monkeypatch):
    """The loss and the gradient of step 4 are finite, and so is everything logged by then."""
    run, update = tmp_path / "run", session.Session._update
    steps = []

    def overshooting(self):
        norm = update(self)
        steps.append(1)
        if len(steps) == 4:
            next(self.network.module.parameters()).data.fill_(math.inf)
        return norm

    monkeypatch.setattr(session.Session, "_update", overshooting)
    with pytest.raises(TrainError, match=r"conv1\.\S+ is not finite after step 4, so no checkpoint is written"):
        train(dataset_folder, run)
    assert load_state(latest_checkpoint(run)).step == 2


def test_a_watch_counts_non_finite_gradients_apart():
    watch = GradientWatch(torch.device("cpu"))
    for step, norm in enumerate([1.0, math.inf, math.nan], 1):
        watch.add(torch.tensor(norm), step)
    first = watch.read()
    assert (first.mean_norm, first.non_finite, first.consecutive, first.first) == (1.0, 2, 2, 2)
    for step, norm in enumerate([math.inf, 3.0, 5.0], 4):
        watch.add(torch.tensor(norm), step)
    second = watch.read()
    assert (second.mean_norm, second.non_finite, second.consecutive, second.first) == (4.0, 1, 3, 4)
    assert math.isnan(watch.read().mean_norm)
