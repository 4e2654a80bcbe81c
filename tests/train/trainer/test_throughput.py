"""How fast a model would train: what is measured, and what the figures say."""

import json
from dataclasses import replace

import pytest
import torch
from train_runs import answer

from in21k.train.config.settings import Config
from in21k.train.trainer.throughput import Rates, advice

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_loader_and_step_are_measured_alone_and_together_and_nothing_is_written(capsys, dataset_folder):
    before = {path: path.stat().st_mtime_ns for path in dataset_folder.rglob("*")}
    options = ["--model", "test_resnet", "--batch-size", 20, "--workers", 0, "--device", "cpu", "--steps", 3, "--json"]
    status, out, err = answer(capsys, "throughput", dataset_folder, *options)
    assert status == 0, err
    found = json.loads(out)
    assert (found["model"], found["batch_size"], found["workers"]) == ("test_resnet", 20, 0)
    rates = [found[f"{which}images_per_second"] for which in ("step_", "loader_", "")]
    assert min(rates) > 0
    assert 0 < found["data_wait"] < 1, "without loader processes, decoding is waiting"
    assert found["gpu_memory_bytes"] is None
    assert {path: path.stat().st_mtime_ns for path in dataset_folder.rglob("*")} == before


def test_a_batch_that_is_too_large_is_one_line(capsys, dataset_folder):
    status, _, err = answer(capsys, "throughput", dataset_folder, "--model", "test_resnet", "--device", "cpu")
    assert status == 1
    assert err == "in21k-train: error: a batch size of 3328 is more than the 93 training samples; give a smaller one\n"


def test_images_that_grow_are_measured_at_one_size_each(capsys, dataset_folder):
    options = ["--model", "test_resnet", "--device", "cpu", "--batch-size", 20, "--image-size", "0:16, 3:32"]
    status, _, err = answer(capsys, "throughput", dataset_folder, *options)
    assert status == 1
    assert err.startswith("in21k-train: error: a measurement takes one --image-size, not the schedule ")


@pytest.mark.parametrize(
    ("step", "loader", "both", "bound", "proposed", "not_proposed"),
    [
        (1000, 400, 390, "loader", ("more --workers than 6", "data.augment_device=gpu"), "--compile"),
        (400, 1000, 395, "step", ("--compile", "--batch-size"), "--workers"),
        (400, 500, 250, "contention", ("other --workers than 6",), "--compile"),
    ],
)
def test_the_slower_one_bounds(step, loader, both, bound, proposed, not_proposed):
    rates, config = Rates(step, loader, both, 0.1), Config()
    config = replace(config, run=replace(config.run, workers=6))
    assert rates.bound == bound
    said = advice(rates, config, CUDA)
    assert all(each in said for each in proposed)
    assert not_proposed not in said
    assert "gpu" not in advice(rates, config, CPU).lower()
