"""Checkpoints: whole or absent, in class order, without pickle, and refused where they do not belong."""

import datetime as dt
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from small_dataset import WNIDS, write_dataset
from spoken import without_progress

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config, DataConfig, ModelConfig, RunConfig
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.errors import TrainError
from in21k.train.evaluation.scores import evaluate, trained_model
from in21k.train.model.level_order import level_order
from in21k.train.model.model_file import MODEL, load_network, read_metadata
from in21k.train.model.network import build_network
from in21k.train.model.weights import read_weights
from in21k.train.run.checkpoint import (
    OPTIMIZER,
    STATE,
    Tensors,
    find_model,
    latest_checkpoint,
    load_state,
    save_checkpoint,
)
from in21k.train.trainer.loop import pretrain
from in21k.tree.table import wordnet_hierarchy

TINY = {
    "model.name": "test_resnet",
    "optim.epochs": 2,
    "optim.lr": 3e-3,
    "data.batch_size": 20,
    "data.eval_batch_size": 8,
    "run.workers": 0,
    "run.log_steps": 1,
    "run.device": "cpu",
}
RAW: dict[str, dict[str, bool]] = {"ema.safetensors": {}, MODEL: {"raw": True}}
CPU = RunConfig(device="cpu", workers=0)


def tiny(**values) -> Config:
    return with_values(Config(), {**TINY, **{key.replace("__", "."): value for key, value in values.items()}})


@pytest.fixture(scope="module")
def run(dataset_folder, tmp_path_factory) -> Path:
    """A finished run of eight steps with a checkpoint every three."""
    run = tmp_path_factory.mktemp("checkpoints") / "run"
    pretrain(str(dataset_folder), run, tiny(run__checkpoint_steps=3), progress=False)
    return run


def test_the_newest_are_kept(run):
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-00000006", "step-00000008"]
    newest = latest_checkpoint(run)
    assert newest.name == "step-00000008"
    assert sorted(path.name for path in newest.iterdir()) == [MODEL, OPTIMIZER, STATE]
    state = load_state(newest)
    assert (state.step, state.epoch, state.samples, state.skipped) == (8, 2, 160, 0)
    assert state.config.model.name == "test_resnet"


def test_files_are_on_the_disk_before_the_folder_has_its_name_and_older_ones_go_last(run, tmp_path, monkeypatch):
    state, metadata = load_state(latest_checkpoint(run)), read_metadata(find_model(run))
    tensors, done = Tensors({"a": torch.ones(2)}, {"a/b": torch.ones(2)}, None), []

    def save(step: int) -> None:
        save_checkpoint(tmp_path, metadata, replace(state, step=step), tensors, keep=1)

    def noting(what, target, name, path_of):
        before = getattr(target, name)

        def noted(first, *rest, **options):
            path = Path(path_of(first))
            done.append((what, path.name if path.name[0] != "." else path.name.rpartition("-")[2]))
            return before(first, *rest, **options)

        monkeypatch.setattr(target, name, noted)

    save(1)
    noting("sync", os, "fsync", lambda descriptor: Path(f"/proc/self/fd/{descriptor}").readlink())
    noting("rename", Path, "rename", str)
    noting("delete", shutil, "rmtree", str)
    save(2)
    named = done.index(("rename", "00000002"))
    assert {("sync", name) for name in (MODEL, OPTIMIZER, STATE)} <= set(done[: named - 1])
    assert done[named - 1 :] == [
        ("sync", "00000002"),
        ("rename", "00000002"),
        ("sync", "checkpoints"),
        ("delete", "step-00000001"),
    ]


def test_what_a_killed_save_left_goes_and_a_step_saved_twice_is_the_newer(run, tmp_path):
    state, metadata = load_state(latest_checkpoint(run)), read_metadata(find_model(run))
    (tmp_path / "checkpoints" / ".tmp-1-step-00000001").mkdir(parents=True)
    for number in (1, 2):
        tensors = Tensors({"a": torch.full((2,), number)}, {}, None)
        save_checkpoint(tmp_path, metadata, replace(state, step=7), tensors, keep=2)
    (folder,) = (tmp_path / "checkpoints").iterdir()
    assert load_file(folder / MODEL)["a"].tolist() == [2, 2]


def test_the_weights_are_in_class_order_and_timm_loads_them(run):
    """timm's own model, in class order, gives the same logits."""
    path = find_model(run)
    model = timm.create_model("test_resnet", num_classes=len(WNIDS), checkpoint_path=str(path)).eval()
    order = level_order(wordnet_hierarchy(WNIDS))
    by_level, by_class = load_network(path, order), load_network(path)
    images = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(by_level.module(images), model(images)[:, order.class_of_row])
        torch.testing.assert_close(by_class.module(images), model(images))
    for network in (by_level, by_class):
        assert all(torch.equal(tensor, load_file(path)[name]) for name, tensor in network.weights().items())


def test_evaluate_repeats_the_runs_last_val_pass(run, dataset_folder):
    summary = json.loads((run / "summary.json").read_text())
    for path in (run, latest_checkpoint(run), latest_checkpoint(run) / MODEL):
        scores = evaluate(str(dataset_folder), trained_model(path), DataConfig(eval_batch_size=8), CPU)
        assert scores["val_semantic_top1"] == summary["val_semantic_top1"]
        assert scores["val_images"] == 17
        assert scores["majority_semantic_top1"] == summary["majority_semantic_top1"]


def test_the_ema_is_evaluated_unless_the_weights_are_asked_for(run, dataset_folder, tmp_path):
    shutil.copy(latest_checkpoint(run) / MODEL, tmp_path / MODEL)
    shutil.copy(latest_checkpoint(run) / MODEL, tmp_path / "ema.safetensors")
    data = open_dataset(dataset_folder)
    opened = {name: trained_model(tmp_path, **raw)(data, 0).names["checkpoint"] for name, raw in RAW.items()}
    assert opened == {name: str(tmp_path / name) for name in RAW}


@pytest.mark.parametrize(
    ("wnids", "message"),
    [
        (WNIDS[:-1], "has 10 classes, the dataset has 9"),
        ([*WNIDS[:-1], "n04530566"], "the 10 classes of .* differ from the dataset's"),
    ],
)
def test_other_classes_are_refused(run, tmp_path, wnids, message):
    folder = write_dataset(tmp_path, wnids=wnids)
    with pytest.raises(TrainError, match=message):
        evaluate(str(folder), trained_model(run), Config().data, CPU)


@pytest.mark.parametrize("name", [MODEL, OPTIMIZER, STATE])
@pytest.mark.parametrize("keep", [0, 40, -9])
def test_a_damaged_file_is_one_line(dataset_folder, tmp_path, name, keep):
    run = tmp_path / "run"
    pretrain(str(dataset_folder), run, tiny(optim__epochs=1), progress=False)
    path = latest_checkpoint(run) / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TrainError, match=rf"{name} cannot be read") as caught:
        pretrain(str(dataset_folder), run, tiny(optim__epochs=1), resume=True, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [MODEL, OPTIMIZER, STATE])
def test_a_broken_newest_checkpoint_gives_way_to_the_one_before_and_says_so(
    run, dataset_folder, tmp_path, capsys, name
):
    copy = shutil.copytree(run, tmp_path / "run")
    path = latest_checkpoint(copy) / name
    path.write_bytes(path.read_bytes()[:-9])
    again = pretrain(str(dataset_folder), copy, tiny(run__checkpoint_steps=3), resume=True, progress=False)
    assert (again["resumed_at_step"], again["steps"]) == (6, 8)
    (line,) = without_progress(capsys.readouterr().err).splitlines()
    assert line.startswith(f"note: {path} cannot be read: ")
    assert line.endswith("step-00000006 instead")
    assert (copy / "metrics.csv").read_text().splitlines()[-1].split(",")[:5] == (
        (run / "metrics.csv").read_text().splitlines()[-1].split(",")[:5]
    )


def test_no_checkpoint_is_one_line(tmp_path):
    with pytest.raises(TrainError, match="there is no checkpoint"):
        find_model(tmp_path)
    with pytest.raises(TrainError, match="there is no checkpoint"):
        find_model(tmp_path / "missing")


def test_a_file_without_metadata_is_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(TrainError, match=r"is not a model file of in21k: its metadata lacks 'model'"):
        read_metadata(tmp_path / "model.safetensors")


def test_init_takes_all_but_a_head_of_another_size(run, tmp_path):
    path = find_model(run)
    weights = load_file(path)
    same = build_network(ModelConfig("test_resnet", init=str(path)), level_order(wordnet_hierarchy(WNIDS)), 32)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in same.weights().items())
    fewer = build_network(ModelConfig("test_resnet", init=str(path)), level_order(wordnet_hierarchy(WNIDS[:-1])), 32)
    for name, tensor in fewer.weights().items():
        assert name in fewer.head or torch.equal(tensor, weights[name])


def test_torch_files_are_read_without_running_code(tmp_path):
    weights = {"module.a": torch.ones(2)}
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "good.pth")
    assert read_weights(tmp_path / "good.pth")["a"].tolist() == [1, 1]
    (tmp_path / "bad.pth").write_bytes(b"not a torch file")
    torch.save({"model": weights, "written": dt.date(2021, 4, 22)}, tmp_path / "pickled.pth")
    for name in ("bad.pth", "pickled.pth", "missing.pth"):
        with pytest.raises(TrainError, match=name) as caught:
            read_weights(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_init_from_another_model_is_one_line(run):
    order = level_order(wordnet_hierarchy(WNIDS))
    with pytest.raises(TrainError, match="is not a checkpoint of test_vit: 78 of 78 tensors are missing"):
        build_network(ModelConfig("test_vit", init=str(find_model(run))), order, 32)
