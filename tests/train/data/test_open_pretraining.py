"""Pretraining on other people's datasets as they were downloaded, Open Images above all: as on prepared shards."""

import json
from pathlib import Path

import pytest
from downstream import class_scores
from small_coco import write_coco
from small_open_images import known_precisions, write_open_images
from small_years import write_year
from train_runs import answer, kill_at, run_train, summary_of, train_command, train_losses

HOW = ["--scratch", "--layout", "openimages", "--recipe", "multi-label", "--image-size", 32]
FIXED = ["--batch-size", 8, "--lr", 2e-3, "--device", "cpu", "--workers", 0]
LONG = ["--model", "test_vit", "--epochs", 4, "--set", "run.log_steps=1", "--set", "run.checkpoint_steps=3"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_open_images(tmp_path_factory.mktemp("open") / "images")


@pytest.fixture(scope="module")
def uncut(root, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "uncut"
    done = run_train("pretrain", root, *HOW, *FIXED, *LONG, "--output", run)
    assert done.returncode == 0, done.stderr
    return run


def test_an_epoch_on_open_images_scores_map_over_what_is_known(capsys, root, tmp_path):
    run = tmp_path / "run"
    status, _, err = answer(
        capsys, "pretrain", root, *HOW, *FIXED, "--model", "test_resnet", "--epochs", 1, "--output", run
    )
    assert (status, err) == (0, "")
    micro, by_class = known_precisions(root, run)
    assert class_scores(run) == pytest.approx(by_class, rel=1e-6)
    assert summary_of(run)["val_map"] == pytest.approx(sum(by_class.values()) / 4, rel=1e-6)
    assert summary_of(run)["val_map_micro"] == pytest.approx(micro, rel=1e-6)


@pytest.mark.guard
def test_it_resumes_exactly_after_a_kill(root, uncut, tmp_path):
    run = tmp_path / "cut"
    arguments = ["pretrain", root, *HOW, *FIXED, *LONG, "--output", run]
    kill_at(8, run, train_command(*arguments))
    assert not (run / "summary.json").exists()
    done = run_train(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert summary_of(run)["resumed_at_step"] >= 6
    assert train_losses(run) == train_losses(uncut)
    assert summary_of(run)["val_map"] == summary_of(uncut)["val_map"]


@pytest.mark.slow
def test_two_ranks_take_the_same_steps_as_one(root, uncut, tmp_path):
    arguments = ["pretrain", root, *HOW, *FIXED, *LONG, "--output", tmp_path / "two"]
    done = run_train(*arguments, processes=2)
    assert done.returncode == 0, done.stderr
    assert train_losses(tmp_path / "two") == pytest.approx(train_losses(uncut), rel=1e-3)


def test_without_a_layout_one_line_names_it(capsys, root, tmp_path):
    status, out, err = answer(
        capsys, "pretrain", root, "--scratch", "--model", "test_resnet", "--output", tmp_path / "run"
    )
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "no manifest.json there; prepare it with in21k-prep, or give --layout openimages, which it has" in err


def test_a_recipe_for_one_class_per_image_names_the_one_for_several(capsys, root, tmp_path):
    how = ["--scratch", "--layout", "auto", "--model", "test_resnet", "--image-size", 32, "--output", tmp_path / "run"]
    status, out, err = answer(capsys, "pretrain", root, *how)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "or multi-label to pretrain" in err
    assert not (tmp_path / "run").exists()


def test_a_run_among_the_images_is_refused(capsys, root):
    status, _, err = answer(capsys, "pretrain", root, *HOW, *FIXED, "--model", "test_vit", "--output", root / "run")
    assert (status, err.count("\n")) == (1, 1)
    assert "are not apart; give another --output" in err


def test_other_layouts_take_their_options_too(capsys, tmp_path):
    root = write_coco(tmp_path / "coco", train=24)
    (root / "annotations" / "instances_val2017.json").unlink()
    how = ["--scratch", "--layout", "coco", "--val-share", 0.25, "--recipe", "multi-label", "--model", "test_resnet"]
    run = tmp_path / "run"
    status, _, err = answer(capsys, "pretrain", root, *how, "--image-size", 32, *FIXED, "--epochs", 1, "--output", run)
    assert (status, err) == (0, "")
    assert (summary_of(run)["val_images"], summary_of(run)["classes"]) == (6, 3)
    assert json.loads((run / "config.json").read_text())["recipe"]["name"] == "multi-label"


def test_the_default_recipe_learns_the_levels_of_a_taxonomy(capsys, tmp_path):
    root, run = write_year(tmp_path / "inat", "2021"), tmp_path / "run"
    how = ["--scratch", "--layout", "inaturalist", "--model", "test_resnet", "--image-size", 32, *FIXED, "--epochs", 1]
    status, _, err = answer(capsys, "pretrain", root, *how, "--output", run)
    assert (status, err) == (0, "")
    assert summary_of(run)["classes"] == 13
    assert summary_of(run)["val_semantic_top1_by_level"].keys() == {"0", "1", "2", "3"}


def test_a_dataset_that_is_not_finished_is_no_one_elses(capsys, dataset_folder, tmp_path):
    cut = tmp_path / "cut"
    for path in dataset_folder.rglob("*.tar"):
        (cut / path.relative_to(dataset_folder)).parent.mkdir(parents=True, exist_ok=True)
        (cut / path.relative_to(dataset_folder)).write_bytes(path.read_bytes())
    (cut / ".unfinished").mkdir()
    weights = ["--checkpoint", "timm:test_resnet"]
    for how in (
        ["pretrain", cut, "--scratch", "--layout", "auto", "--model", "test_resnet"],
        ["transfer", cut, *weights],
    ):
        status, _, err = answer(capsys, *how, "--output", tmp_path / "run")
        assert (status, err.count("\n")) == (1, 1)
        assert "no manifest.json there; name a folder that `in21k-prep shard` has finished" in err
