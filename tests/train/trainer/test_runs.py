"""Whole runs in their own processes: torchrun, kill and resume, and a model that learns."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from small_dataset import write_dataset
from train_runs import FIXED, OPTIONS, kill_at, run_train, summary_of, train_command, train_losses

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config, DataConfig, RunConfig
from in21k.train.errors import TrainError
from in21k.train.evaluation.scores import evaluate, trained_model
from in21k.train.trainer.loop import pretrain as pretrain_here


def pretrain(dataset: Path, run: Path, *arguments: object, processes: int = 1, workers: int = 0):
    options = ["--output", run, "--workers", workers, *FIXED, *arguments]
    return run_train("pretrain", dataset, *options, processes=processes)


@pytest.fixture(scope="module")
def uncut(dataset_folder, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "uncut"
    done = pretrain(dataset_folder, run, *OPTIONS)
    assert done.returncode == 0, done.stderr
    return run


TINY = {"model.name": "test_resnet", "run.workers": 0, "run.device": "cpu", "data.batch_size": 12, "run.log_steps": 7}


def spoil(sample, spoilt: bool):
    return replace(sample, image=sample.image[:99]) if spoilt else sample


def test_it_learns(dataset_folder, tmp_path):
    """Without Cutout and RandAugment, which are too strong for so few steps."""
    values = {"model.name": "test_resnet", "optim.lr": 1e-2, "optim.epochs": 8, "data.batch_size": 12, "run.workers": 0}
    off = {"data.cutout": 0.0, "data.randaugment_ops": 0, "run.device": "cpu", "run.log_steps": 7}
    summary = pretrain_here(
        str(dataset_folder), tmp_path / "run", with_values(Config(), {**values, **off}), progress=False
    )
    losses = list(train_losses(tmp_path / "run").values())
    assert losses[-1] < 0.75 * losses[0]
    assert summary["val_semantic_top1"] > summary["majority_semantic_top1"] + 0.2
    assert summary["steps"] == 8 * (93 // 12)
    assert summary["carried_over_images"] == 93 % 12


def test_the_folder_holds_what_the_readme_says(uncut):
    names = {path.name for path in uncut.iterdir()}
    made = {
        ".lock",
        "config.json",
        "hierarchy.parquet",
        "metrics.csv",
        "tensorboard",
        "checkpoints",
        "curves.png",
        "val_classes.csv",
        "summary.json",
    }
    assert names == made
    assert json.loads((uncut / "config.json").read_text())["config"]["optim"]["lr"] == 2e-3
    assert list((uncut / "tensorboard").glob("events.*"))


def test_a_killed_run_resumes_with_the_same_losses(uncut, dataset_folder, tmp_path):
    """With another number of loader processes, from a checkpoint in the middle of an epoch."""
    run = tmp_path / "cut"
    options = [*OPTIONS, "--set", "run.checkpoint_steps=5"]
    arguments = ["pretrain", dataset_folder, "--output", run, "--workers", 1, *FIXED, *options]
    kill_at(12, run, train_command(*arguments))
    assert not (run / "summary.json").exists()
    done = pretrain(dataset_folder, run, *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert summary_of(run)["resumed_at_step"] >= 10
    assert train_losses(run) == train_losses(uncut)
    assert summary_of(run)["val_semantic_top1"] == summary_of(uncut)["val_semantic_top1"]
    assert summary_of(run)["val_loss"] == summary_of(uncut)["val_loss"]


def test_two_processes_take_the_same_steps_as_one(uncut, dataset_folder, tmp_path):
    """Shards of uneven length cause no hang; the same global batches give the same losses."""
    run = tmp_path / "two"
    done = pretrain(dataset_folder, run, *OPTIONS, "--json", processes=2)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["processes"], summary["steps"], summary["val_images"]) == (2, 28, 17)
    assert train_losses(run) == pytest.approx(train_losses(uncut), rel=1e-3)


@pytest.mark.guard
def test_one_process_resumes_where_two_were_killed(uncut, dataset_folder, tmp_path):
    run = tmp_path / "cut"
    options = [*OPTIONS, "--set", "run.checkpoint_steps=5"]
    kill_at(
        12,
        run,
        train_command("pretrain", dataset_folder, "--output", run, "--workers", 1, *FIXED, *options, processes=2),
    )
    done = pretrain(dataset_folder, run, *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert train_losses(run) == pytest.approx(train_losses(uncut), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_evaluation_is_the_same_on_any_number_of_processes(uncut, dataset_folder, processes):
    run = RunConfig(device="cpu", workers=0)
    alone = evaluate(str(dataset_folder), trained_model(uncut), DataConfig(eval_batch_size=4), run)
    options = ["--json", "--device", "cpu", "--batch-size", "4", "--workers", "0"]
    done = run_train("evaluate", dataset_folder, "--checkpoint", uncut, *options, processes=processes)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"command": "evaluate"} | alone
    assert alone["val_images"] == 17


@pytest.mark.parametrize(
    ("scheme", "processes", "metrics"),
    [
        pytest.param(
            "multi-label", 3, {"val_map", "val_mistake_distance", "val_semantic_top1"}, marks=pytest.mark.slow
        ),
        pytest.param("multi-label", 2, {"val_map"}, marks=pytest.mark.slow),
        (
            "hierarchical-cross-entropy",
            2,
            {"val_top1", "val_hierarchical_f1", "val_consistent_paths", "val_top5_distance"},
        ),
        pytest.param("soft-labels", 3, {"val_top1", "val_hierarchical_f1"}, marks=pytest.mark.slow),
        pytest.param("single-label", 3, {"val_top1", "val_top5", "val_mistake_distance"}, marks=pytest.mark.slow),
    ],
)
def test_every_schemes_metrics_are_the_same_on_any_number_of_processes(
    dataset_folder, tmp_path, scheme, processes, metrics
):
    config = with_values(Config(), {**TINY, "loss.scheme": scheme, "optim.epochs": 2, "data.eval_batch_size": 4})
    summary = pretrain_here(str(dataset_folder), tmp_path / "run", config, progress=False)
    options = ["--json", "--device", "cpu", "--batch-size", "4", "--workers", "0"]
    done = run_train("evaluate", dataset_folder, "--checkpoint", tmp_path / "run", *options, processes=processes)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {name: found[name] for name in metrics} == {name: summary[name] for name in metrics}
    assert all(found[name] is not None for name in metrics)


@pytest.mark.slow
def test_a_batch_size_not_divisible_by_the_ranks_is_refused(dataset_folder, tmp_path):
    done = pretrain(dataset_folder, tmp_path / "run", "--batch-size", 15, processes=2)
    assert done.returncode != 0
    assert "in21k-train: error: a batch size of 15 is not divisible by the 2 ranks; give a multiple" in done.stderr


def test_a_damaged_shard_ends_all_processes_with_its_name(tmp_path):
    folder = write_dataset(tmp_path / "data")
    path = folder / "train/in21k-train-000001.tar"
    path.write_bytes(path.read_bytes()[:-700])
    done = pretrain(folder, tmp_path / "run", "--batch-size", 12, "--epochs", 1, processes=2)
    assert done.returncode != 0
    assert "in21k-train: error: " in done.stderr
    assert "in21k-train-000001.tar is " in done.stderr


def test_a_run_without_a_checkpoint_starts_over(dataset_folder, tmp_path):
    run = tmp_path / "run"
    config = with_values(Config(), {**TINY, "optim.epochs": 1})
    first = pretrain_here(str(dataset_folder), run, config, progress=False)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(TrainError, match=r"holds summary.json and no checkpoint, so it cannot be resumed"):
        pretrain_here(str(dataset_folder), run, config, resume=True, progress=False)
    (run / "summary.json").unlink()
    again = pretrain_here(str(dataset_folder), run, config, resume=True, progress=False)
    assert (again["resumed_at_step"], again["train_loss"]) == (0, first["train_loss"])
    assert list(train_losses(run)) == [7]


def test_skipped_images_are_counted_and_named(tmp_path):
    folder = write_dataset(tmp_path / "data", replace=lambda split, number, sample: spoil(sample, number in {3, 50}))
    config = with_values(Config(), {**TINY, "data.batch_size": 31, "optim.epochs": 2})
    summary = pretrain_here(str(folder), tmp_path / "run", config, progress=False)
    assert (summary["skipped_images"], summary["val_skipped"], summary["val_images"]) == (4, 1, 16)
    lines = (tmp_path / "run" / "skipped.csv").read_text().splitlines()
    assert sorted(line.split("_")[1] for line in lines) == [
        *["train3,train"] * 2,
        *["train50,train"] * 2,
        "val3,val",
    ]
