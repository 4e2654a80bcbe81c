"""Runs with blocks of another length: another order, which a run keeps wherever its data are."""

import json
import shutil
from pathlib import Path

import pytest
from object_store import served
from train_runs import cut_at, train_losses

from in21k.train.config.overrides import with_values
from in21k.train.errors import TrainError
from in21k.train.recipes import read_recipe
from in21k.train.trainer.loop import pretrain

SETTINGS = {
    "model.name": "test_resnet",
    "model.start": "random",
    "data.image_size": 32,
    "data.batch_size": 12,
    "optim.epochs": 1,
    "run.device": "cpu",
    "run.workers": 0,
    "run.log_steps": 1,
    "run.checkpoint_steps": 3,
    "run.keep_checkpoints": 100,
}


def train(dataset: str | Path, run: Path, resume: bool = False, **values) -> dict:
    changed = SETTINGS | {key.replace("__", "."): value for key, value in values.items()}
    recipe = read_recipe("semantic-softmax")
    return pretrain(str(dataset), run, with_values(recipe, changed), resume=resume, progress=False)


@pytest.fixture(scope="module")
def run(dataset_folder, tmp_path_factory) -> Path:
    """A run from disk with blocks of 4."""
    folder = tmp_path_factory.mktemp("blocks") / "run"
    train(dataset_folder, folder, data__block_samples=4)
    return folder


def test_a_run_resumes_from_an_object_store_in_its_own_order(run, dataset_folder, tmp_path, monkeypatch):
    shutil.copytree(dataset_folder, tmp_path / "served" / "bucket" / "data")
    cut = cut_at(run, tmp_path / "cut", 3)
    with served(tmp_path / "served", monkeypatch) as uri:
        assert train(uri.format("bucket/data"), cut, resume=True, data__block_samples=4)["resumed_at_step"] == 3
    assert train_losses(cut) == train_losses(run)


def test_blocks_of_another_length_are_another_order_and_hinder_a_resume(run, dataset_folder, tmp_path):
    train(dataset_folder, tmp_path / "run")
    assert train_losses(tmp_path / "run") != train_losses(run)
    with pytest.raises(TrainError, match=r"data.block_samples: 4 → 32"):
        train(dataset_folder, cut_at(run, tmp_path / "cut", 3), resume=True)


def test_a_run_from_before_the_setting_resumes_with_the_order_that_it_had(dataset_folder, tmp_path):
    train(dataset_folder, tmp_path / "whole")
    cut = cut_at(tmp_path / "whole", tmp_path / "cut", 3)
    record = json.loads((cut / "config.json").read_text())
    del record["config"]["data"]["block_samples"]
    (cut / "config.json").write_text(json.dumps(record))
    assert train(dataset_folder, cut, resume=True)["resumed_at_step"] == 3
    assert train_losses(cut) == train_losses(tmp_path / "whole")
