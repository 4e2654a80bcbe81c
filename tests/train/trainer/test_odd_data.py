"""Data and sizes that a run can do little with: no val split, a hierarchy of one chain, one image at a time."""

import json

import pytest
from small_dataset import write_dataset
from train_runs import FIXED, answer, summary_of

PLAIN = [*FIXED, "--workers", 0, "--epochs", 2, "--batch-size", 31]


def test_without_a_val_split_a_run_trains_and_resumes_and_says_so(capsys, tmp_path):
    data, run = write_dataset(tmp_path / "data", val=()), tmp_path / "run"
    status, out, err = answer(capsys, "pretrain", data, "--output", run, *PLAIN)
    assert (status, err) == (0, "")
    assert "there are no val images to evaluate on" in out
    first = summary_of(run)
    assert (first["steps"], first["val_images"], first["val_loss"]) == (6, 0, None)
    assert answer(capsys, "pretrain", data, "--output", run, *PLAIN, "--resume")[0] == 0
    assert {row.split(",")[2] for row in (run / "metrics.csv").read_text().splitlines()[1:]} == {"train"}


def test_without_a_val_split_evaluate_says_so_in_a_line(capsys, dataset_folder, tmp_path):
    data, run = write_dataset(tmp_path / "data", val=()), tmp_path / "run"
    assert answer(capsys, "pretrain", dataset_folder, "--output", run, *PLAIN)[0] == 0
    status, out, err = answer(capsys, "evaluate", data, "--checkpoint", run, "--device", "cpu")
    assert (status, out) == (1, "")
    made = "in21k-prep made it with --val-per-class 0"
    assert err == f"in21k-train: error: {data} has no val images to evaluate on ({made})\n"


@pytest.mark.parametrize("recipe", ["single-label-scratch", "multi-label"])
def test_a_hierarchy_of_one_chain_trains(capsys, tmp_path, recipe):
    data, run = write_dataset(tmp_path / "data", wnids=["n00015388", "n01317541", "n02084071"]), tmp_path / "run"
    status, out, _ = answer(capsys, "pretrain", data, "--output", run, *PLAIN, "--recipe", recipe, "--json")
    assert status == 0
    assert "val_semantic_top1" not in json.loads(out)


@pytest.mark.parametrize("how", [["--batch-size", 1], ["--batch-size", 6, "--set", "optim.accumulate=6"]])
def test_batch_norm_on_one_image_is_one_line_and_the_corrected_command_runs(capsys, dataset_folder, tmp_path, how):
    run = tmp_path / "run"
    command = ["pretrain", dataset_folder, "--output", run, *PLAIN, "--model", "test_resnet"]
    status, out, err = answer(capsys, *command, *how)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "batch norm needs more than one image at a time" in err
    assert answer(capsys, *command)[0] == 0


def test_an_image_size_that_the_model_does_not_take_is_one_line(capsys, dataset_folder, tmp_path):
    odd = ["--image-size", 33]
    run = tmp_path / "run"
    assert answer(capsys, "pretrain", dataset_folder, "--output", run, *PLAIN)[0] == 0
    commands = (
        ["pretrain", dataset_folder, "--output", tmp_path / "other", *PLAIN, *odd],
        ["evaluate", dataset_folder, "--checkpoint", run, "--device", "cpu", *odd],
    )
    for command in commands:
        status, out, err = answer(capsys, *command)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert "test_vit does not take images of 33 × 33 pixels" in err
    assert not (tmp_path / "other").exists()
