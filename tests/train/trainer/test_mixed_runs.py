"""Runs with crops, erasing, mixup and CutMix: the same on any ranks, micro-batches and devices, and after a resume."""

import json
import random
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import until
from safetensors.torch import load_file
from streams import equal
from test_training_options import options, train
from train_runs import run_train, train_command, train_losses

from in21k.train.config.overrides import parse_setting
from in21k.train.errors import TrainError
from in21k.train.model.model_file import MODEL
from in21k.train.run.checkpoint import find_model, latest_checkpoint
from in21k.train.stream.batch import Batch
from in21k.train.trainer.session import Session

NEW = (
    "data.random_crop_min_area=0.3",
    "data.random_erasing=0.4",
    "data.mixup=0.5",
    "data.cutmix=1.0",
    "data.mix_probability=0.9",
)
VALUES = {key.replace(".", "__"): value for key, value in map(parse_setting, NEW)}
OFF = {"data__cutout": 0.0, "data__randaugment_ops": 0}
"""What differs by a gray level between the devices."""


@pytest.fixture(scope="module")
def alone(dataset_folder, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("mixed") / "alone"
    train(dataset_folder, run, **VALUES)
    return run


def test_micro_batches_that_part_a_pair_change_no_loss(alone, dataset_folder, tmp_path):
    train(dataset_folder, tmp_path / "run", optim__accumulate=4, **VALUES)
    assert train_losses(tmp_path / "run") == pytest.approx(train_losses(alone), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [2, 1])
def test_two_ranks_change_no_loss(alone, dataset_folder, tmp_path, accumulate):
    command = ["pretrain", dataset_folder, "--output", tmp_path / "run", "--workers", 1]
    done = run_train(*command, *options(*NEW, f"optim.accumulate={accumulate}"), processes=2)
    assert done.returncode == 0, done.stderr
    assert train_losses(tmp_path / "run") == pytest.approx(train_losses(alone), rel=1e-4)


@pytest.mark.slow
def test_killed_in_mid_epoch_it_resumes_bit_for_bit(alone, dataset_folder, tmp_path):
    cut, at = tmp_path / "cut", random.randrange(4, 13)
    command = ["pretrain", dataset_folder, "--output", cut, *options(*NEW)]
    process = subprocess.Popen(train_command(*command), stderr=subprocess.DEVNULL)
    until(lambda: (cut / "metrics.csv").exists() and max(train_losses(cut), default=0) >= at)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if not (cut / "summary.json").exists():  # the kill came in time
        assert train(dataset_folder, cut, resume=True, **VALUES)["resumed_at_step"] >= 3
    assert train_losses(cut) == train_losses(alone), f"killed at step {at}"
    ours, theirs = (load_file(latest_checkpoint(run) / MODEL) for run in (cut, alone))
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())


def test_both_devices_augment_alike(dataset_folder, tmp_path):
    for device in ("cpu", "gpu"):
        train(dataset_folder, tmp_path / device, data__augment_device=device, **VALUES, **OFF)
    assert train_losses(tmp_path / "cpu") == train_losses(tmp_path / "gpu")


@pytest.mark.parametrize("name", VALUES)
def test_each_of_them_changes_the_first_steps_loss(dataset_folder, tmp_path, alone, name):
    train(dataset_folder, tmp_path / "run", optim__epochs=1, **{**VALUES, name: 0.0})
    assert train_losses(tmp_path / "run")[1] != train_losses(alone)[1]


@pytest.mark.filterwarnings("ignore:Data has no positive values")  # of the plot
def test_the_teacher_sees_the_mixtures(dataset_folder, tmp_path):
    """A student that begins as its own teacher has nothing to learn from it, whatever is mixed."""
    teacher = tmp_path / "teacher"
    train(dataset_folder, teacher, optim__epochs=1)
    taught = {"distill__teacher": str(teacher), "distill__hard_weight": 0.0, "model__init": str(find_model(teacher))}
    taught |= {"model__start": "any"}
    train(dataset_folder, tmp_path / "run", "semantic-distillation", optim__lr=0.0, **taught, **VALUES)
    assert max(train_losses(tmp_path / "run").values()) < 1e-9


@pytest.mark.parametrize("scheme", ["single-label", "multi-label"])
def test_labels_are_mixed_by_the_shares_of_the_pixels(dataset_folder, tmp_path, monkeypatch, scheme):
    """Against the loss of each image's own label and of its neighbor's, computed by themselves."""
    found = []

    def watched(session, images, ids, valid, partners, shares, loss=Session.batch_loss):
        value = loss(session, images, ids, valid, partners, shares)
        each = torch.arange(len(ids))
        assert torch.equal(partners, ids[each ^ 1])
        assert torch.equal(shares, shares[each ^ 1])
        with torch.no_grad():
            logits = session.train_module(session.network.inputs(images, images.device))
            own, other = (
                torch.stack([session.loss(logits[at : at + 1], labels[at : at + 1], valid[at : at + 1]) for at in each])
                for labels in (ids, partners)
            )
        found.append((value.item(), (shares * own + (1 - shares) * other).mean().item()))
        return value

    monkeypatch.setattr(Session, "batch_loss", watched)
    train(dataset_folder, tmp_path / "run", scheme, optim__epochs=1, **VALUES)
    assert len(found) == 7
    values, expected = np.array(found).T
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_without_mixing_the_order_and_the_images_are_as_before(dataset_folder, tmp_path, monkeypatch):
    """The plan of a run without the new settings is the one that it always was."""
    seen: list[Batch] = []

    def watched(session, batch, step, take=Session.train_step):
        seen.append(batch)
        return take(session, batch, step)

    monkeypatch.setattr(Session, "train_step", watched)
    train(dataset_folder, tmp_path / "run", optim__epochs=1)
    plain, seen[:] = list(seen), []
    train(dataset_folder, tmp_path / "off", optim__epochs=1, data__mix_probability=0.5, data__cutmix_share=0.1)
    assert equal(plain, seen)
    seen.clear()
    train(dataset_folder, tmp_path / "never", optim__epochs=1, data__mixup=0.5, data__mix_probability=0.0)
    assert equal(plain, seen)
    seen.clear()
    train(dataset_folder, tmp_path / "mixed", optim__epochs=1, data__mixup=0.2)
    assert not equal(plain, seen)
    assert [sorted(batch.labels.class_indices.tolist()) for batch in seen] == [
        sorted(batch.labels.class_indices.tolist()) for batch in plain
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "processes"), [(13, 1), (6, 2)])
def test_a_rank_with_an_odd_batch_is_refused_before_the_start(dataset_folder, tmp_path, batch, processes):
    command = ["pretrain", dataset_folder, "--output", tmp_path / "run", *options("data.mixup=0.2")]
    done = run_train(*command, "--set", f"data.batch_size={batch}", processes=processes)
    assert done.returncode != 0
    said = f"mixup and CutMix take images in pairs, and a rank's batch of {batch // processes} images is not even; give"
    assert f"{said} a --batch-size that is a multiple of {2 * processes}" in done.stderr
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_changed_setting_is_refused_on_resume(alone, dataset_folder):
    with pytest.raises(TrainError, match=r"data.mixup: 0.5 → 0.3"):
        train(dataset_folder, alone, resume=True, **{**VALUES, "data__mixup": 0.3})
    stored = json.loads((alone / "config.json").read_text())["config"]["data"]
    assert (stored["mixup"], stored["random_erasing"]) == (0.5, 0.4)
