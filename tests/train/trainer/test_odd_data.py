"""Data that a run can do little with: no val split, or a hierarchy of one chain."""

import json

import pytest
from small_dataset import write_dataset
from train_runs import FIXED, answer, summary_of

PLAIN = [*FIXED, "--workers", 0, "--epochs", 2, "--batch-size", 31]


def test_without_a_val_split_a_run_trains_and_resumes_and_says_so(capsys, tmp_path):
    data, run = write_dataset(tmp_path / "data", val=()), tmp_path / "run"
    status, out, err = answer(capsys, "pretrain", data, "--output", run, *PLAIN)
    assert (status, err) == (0, "")
    assert "val note: there are no val images to evaluate on" in out
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
