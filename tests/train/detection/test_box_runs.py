"""Detectors as users train them: they learn, resume exactly, run on two ranks, and say what is wrong."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from processes import until
from safetensors.torch import load_file, save_file
from shape_boxes import annotation, change, write_shapes
from train_runs import answer, run_train, summary_of, train_command, train_losses

from in21k.train.config.overrides import differences
from in21k.train.config.settings import RunConfig
from in21k.train.detection import find_boxes, trained_detector
from in21k.train.detection.coco_metric import NAMES
from in21k.train.device import backend
from in21k.train.run.checkpoint import latest_checkpoint
from in21k.train.run.folder import read_config

MODEL = "test_efficientnet"
SMALL = ["--image-size", 64, "--device", "cpu", "--workers", 0, "--set", "model.frozen_stages=0"]
SMALL += ["--set", "detection.width=16", "--set", "detection.least_side=32", "--set", "detection.longest_side=96"]
STEPS = [*SMALL, "--epochs", 3, "--batch-size", 8, "--set", "run.log_steps=1", "--set", "run.checkpoint_steps=2"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(timm.create_model(MODEL).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes") / "shapes", train=24, val=6, side=96)


def words(data: Path, weights: Path, run: Path, *how: object) -> list[object]:
    given = ["transfer", data, "--task", "detection", "--checkpoint", weights, "--output", run, *how]
    return [*given, *(() if "--model" in how else ("--model", MODEL))]


def detect(capsys, data: Path, weights: Path, run: Path, *how: object) -> tuple[int, str, str]:
    return answer(capsys, *words(data, weights, run, *how))


@pytest.fixture(scope="module")
def uncut(shapes, weights, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "uncut"
    done = run_train(*words(shapes, weights, run, *STEPS))
    assert done.returncode == 0, done.stderr
    return run


def same_weights(run: Path, other: Path) -> bool:
    ours, theirs = (load_file(latest_checkpoint(each) / "model.safetensors") for each in (run, other))
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())


def test_a_run_has_cocos_numbers_and_each_classs(uncut):
    summary = summary_of(uncut)
    assert [key for key in summary if key.startswith("val_m")] == [f"val_{name}" for name in NAMES]
    assert (summary["task"], summary["head"], summary["steps"], summary["val_images"]) == (
        "detection",
        "retinanet",
        9,
        6,
    )
    assert summary["pretrained_tensors"] == 80
    with (uncut / "val_classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["circle", "square", "triangle"]
    assert sum(int(row["boxes_val"]) for row in rows) > 5
    assert (uncut / "skipped_boxes.csv").read_text().count("\n") == 1
    with (uncut / "metrics.csv").open(newline="") as file:
        assert [row["map"] != "" for row in csv.DictReader(file) if row["split"] == "val"] == [True] * 3


STOPPED = """
import os, signal
from in21k.train.cli.main import main
from in21k.train.trainer import loop
after_step = loop.Trainer._after_step
def stopped(trainer):
    after_step(trainer)
    if trainer.tally.step == 4:
        os.kill(os.getpid(), getattr(signal, os.environ["STOPPED_BY"]))
loop.Trainer._after_step = stopped
if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_stopped_in_mid_epoch_it_resumes_to_the_same_weights(shapes, weights, uncut, tmp_path, how):
    script, run = tmp_path / "stopped.py", tmp_path / "run"
    script.write_text(STOPPED)
    command = [sys.executable, script, *words(shapes, weights, run, *STEPS)]
    environment = os.environ | {"STOPPED_BY": how}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == (0 if how == "SIGTERM" else -signal.SIGKILL), done.stderr
    assert not (run / "summary.json").exists()
    resumed = run_train(*words(shapes, weights, run, *STEPS, "--resume", "--workers", 1))
    assert resumed.returncode == 0, resumed.stderr
    assert summary_of(run)["resumed_at_step"] in ((5,) if how == "SIGTERM" else (2, 4))
    assert train_losses(run) == train_losses(uncut)
    assert same_weights(run, uncut)
    assert {key: value for key, value in summary_of(run).items() if key.startswith(("val_", "pretrained"))} == {
        key: value for key, value in summary_of(uncut).items() if key.startswith(("val_", "pretrained"))
    }


@pytest.mark.guard
def test_killed_at_any_time_it_resumes_to_the_same_weights(shapes, weights, uncut, tmp_path):
    run = tmp_path / "run"
    for step in (1, 3, 6):
        process = subprocess.Popen(
            train_command(*words(shapes, weights, run, *STEPS, "--resume")), stderr=subprocess.DEVNULL
        )
        until(lambda at=step: (run / "metrics.csv").exists() and max(train_losses(run), default=0) >= at)
        process.kill()
        process.wait()
    done = run_train(*words(shapes, weights, run, *STEPS, "--resume"))
    assert done.returncode == 0, done.stderr
    assert same_weights(run, uncut)


@pytest.mark.slow
def test_two_ranks_train_as_one(shapes, weights, uncut, tmp_path):
    run = tmp_path / "two"
    done = run_train(*words(shapes, weights, run, *STEPS), processes=2)
    assert done.returncode == 0, done.stderr
    losses, alone = train_losses(run), train_losses(uncut)
    assert list(losses) == list(alone)
    assert losses[1] == pytest.approx(alone[1], rel=1e-4)
    assert summary_of(run)["val_images"] == 6


def test_evaluate_says_what_the_run_said(uncut, shapes, capsys):
    how = ["--device", "cpu", "--workers", 0, "--json"]
    status, out, err = answer(capsys, "evaluate", shapes, "--checkpoint", uncut, *how)
    assert (status, err) == (0, "")
    found, summary = json.loads(out), summary_of(uncut)
    assert {name: found[f"val_{name}"] for name in NAMES} == {name: summary[f"val_{name}"] for name in NAMES}


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The switches of torch that a GPU would get, in what computes on the CPU."""
    real = backend.prepare_backend
    for module in (trained_detector, find_boxes):
        monkeypatch.setattr(module, "prepare_backend", lambda run, _, **how: real(run, torch.device("cuda"), **how))
    yield
    real(RunConfig(), torch.device("cpu"))


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_on_a_gpu_convolutions_are_not_searched_for_at_each_shape(uncut, shapes, capsys, as_on_a_gpu, command):
    backend.prepare_backend(RunConfig(), torch.device("cuda"))
    assert torch.backends.cudnn.benchmark
    data = shapes if command == "evaluate" else shapes / "val2017"
    assert answer(capsys, command, data, "--checkpoint", uncut, "--device", "cpu", "--workers", 0)[0] == 0
    assert not torch.backends.cudnn.benchmark


def test_evaluate_takes_no_clips_of_a_detectors_images(uncut, shapes, capsys):
    status, _, err = answer(capsys, "evaluate", shapes, "--checkpoint", uncut, "--clips", 3, "--device", "cpu")
    assert status == 2
    assert "--clips is for models of videos" in err


def test_damaged_images_are_skipped_and_damaged_boxes_counted(weights, tmp_path, capsys):
    data = write_shapes(tmp_path / "data", train=16, val=4, side=64)
    (data / "train2017/0003.jpg").write_bytes(b"no image")
    (data / "val2017/0001.jpg").write_bytes(b"")
    bad = [
        annotation(900, 1, 3, [1, 1, 0, 9]),
        annotation(901, 1, 77, [1, 1, 9, 9]),
        annotation(902, 1, 3, [-9, 1, 30, 9]),
    ]
    change(data, lambda content: content["annotations"].extend(bad))
    change(data, lambda content: content["images"][5].update(height=99))  # the file's is another
    status, _, err = detect(capsys, data, weights, tmp_path / "run", *SMALL, "--epochs", 1, "--batch-size", 16)
    assert status == 0
    named = f"{tmp_path / 'run/skipped.csv'} names what was skipped"
    assert err == f"in21k-train: 2 train and 1 val images did not decode and were skipped; {named}\n"
    summary = summary_of(tmp_path / "run")
    assert (summary["skipped_boxes"], summary["clipped_boxes"], summary["val_images"]) == (2, 1, 3)
    assert sorted(line.split(",")[1] for line in (tmp_path / "run/skipped.csv").read_text().split()) == [
        "train2017/0003.jpg",
        "train2017/0005.jpg",
        "val2017/0001.jpg",
    ]


def test_a_step_of_damaged_images_alone_is_no_end(weights, tmp_path, capsys):
    data = write_shapes(tmp_path / "data", train=4, val=2, side=64)
    for number in range(3):
        (data / f"train2017/000{number}.jpg").write_bytes(b"no image")
    how = [*SMALL, "--epochs", 1, "--batch-size", 1, "--set", "run.log_steps=1", "--max-skipped", 1]
    assert detect(capsys, data, weights, tmp_path / "run", *how)[0] == 0
    assert sorted(train_losses(tmp_path / "run").values())[:3] == [0, 0, 0]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (["--probe"], "leave --probe and --keep-features out"),
        (["--recipe", "transfer-single-label"], "give --recipe detection"),
        (["--set", "data.cutout=0.5"], "data.cutout=0.5 is not for detectors"),
        (["--clips", 3], "video.clips=3 is not for detectors"),
        (["--compile"], "run.compile=True is not for detectors"),
        (["--layout", "voc"], "detection takes data in COCO's layout"),
        (["--image-size", "0:32, 1:64"], "a detector takes one --image-size"),
        (["--model", "mixer_s16_224"], "has no feature maps for a detector"),
        (["--model", "test_resnet"], "is not a checkpoint of test_resnet"),
    ],
)
def test_what_a_detector_has_no_use_for_is_refused_in_a_line(shapes, weights, tmp_path, capsys, how, told):
    status, out, err = detect(capsys, shapes, weights, tmp_path / "run", *SMALL, "--epochs", 1, "--batch-size", 8, *how)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert told in err
    assert not (tmp_path / "run").exists()


def test_a_recipe_for_detectors_does_not_pretrain(dataset_folder, tmp_path, capsys):
    given = ["--recipe", "detection", "--model", MODEL, "--output", tmp_path / "run", "--device", "cpu"]
    status, _, err = answer(capsys, "pretrain", dataset_folder, *given)
    assert status == 1
    assert "transfer --task detection" in err


def test_a_detector_is_no_classifier(uncut, shapes, tmp_path, capsys):
    for command in (
        ["transfer", shapes, "--checkpoint", uncut, "--output", tmp_path / "run"],
        ["export", uncut, tmp_path / "exported"],
        ["embed", shapes / "val2017", "--checkpoint", uncut, "--output", tmp_path / "embedded"],
    ):
        status, _, err = answer(capsys, *command)
        assert status == 1, command
        assert "is a detector" in err


def test_without_the_extra_one_line_names_it_before_anything_is_written(shapes, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.delitem(sys.modules, "pycocotools.cocoeval", raising=False)
    status, _, err = detect(capsys, shapes, weights, tmp_path / "run", *SMALL)
    assert (status, err) == (
        1,
        "in21k-train: error: the package pycocotools is not installed; pip install 'in21k[detection]'\n",
    )
    assert not (tmp_path / "run").exists()


def test_the_recipes_differ_in_their_head(uncut):
    from in21k.train.recipes import read_recipe

    changed = differences(read_recipe("detection"), read_recipe("detection-faster-rcnn"))
    assert [each.partition(":")[0] for each in changed] == ["optim.lr", "detection.head"]
    assert read_config(uncut / "config.json")[0].detection.head == "retinanet"


def test_faster_rcnn_trains_from_its_recipe(shapes, weights, tmp_path, capsys):
    how = [
        *SMALL,
        "--recipe",
        "detection-faster-rcnn",
        "--epochs",
        1,
        "--batch-size",
        24,
        "--set",
        "optim.ema_decay=0.9",
    ]
    status, _, err = detect(capsys, shapes, weights, tmp_path / "run", *how, "--set", "optim.accumulate=2")
    assert (status, err) == (0, "")
    assert summary_of(tmp_path / "run")["head"] == "faster-rcnn"


def test_a_fraction_of_the_images_takes_its_boxes_along(shapes, weights, tmp_path, capsys):
    how = [*SMALL, "--epochs", 1, "--batch-size", 12, "--set", "data.fraction=0.5", "--set", "run.log_steps=1"]
    status, _, err = detect(capsys, shapes, weights, tmp_path / "run", *how)
    assert (status, err) == (0, "")
    assert (summary_of(tmp_path / "run")["train_images"], summary_of(tmp_path / "run")["skipped_images"]) == (12, 0)


LEARNING = ["--image-size", 96, "--device", "cpu", "--workers", 0, "--set", "model.frozen_stages=0"]
LEARNING += ["--set", "detection.width=64", "--set", "detection.frozen_norm=false", "--set", "optim.name=adamw"]
LEARNING += ["--set", "detection.least_side=0", "--set", "detection.longest_side=192", "--lr", "1e-3"]
LEARNING += ["--set", "optim.pct_start=0.1", "--set", "optim.clip_norm=1", "--batch-size", 8]


@pytest.fixture(scope="module")
def four_images(tmp_path_factory) -> Path:
    """Four images, which are those of validation, too."""
    data = write_shapes(tmp_path_factory.mktemp("four") / "data", train=4, val=1, side=96)
    train = data / "annotations/instances_train2017.json"
    (data / "annotations/instances_val2017.json").write_bytes(train.read_bytes())
    (data / "val2017/0000.jpg").unlink()
    (data / "val2017").rmdir()
    (data / "val2017").symlink_to("train2017")
    return data


@pytest.fixture(scope="module")
def learned(four_images, weights, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("learned") / "run"
    how = [*LEARNING, "--image-size", 64, "--batch-size", 4, "--epochs", 150, "--set", "run.eval_epochs=150"]
    done = run_train(*words(four_images, weights, run, *how, "--set", "run.checkpoint_steps=1000"))
    assert done.returncode == 0, done.stderr
    return run


@pytest.mark.slow
def test_it_learns(learned):
    """What it learned on four images, it finds on them."""
    assert summary_of(learned)["val_map50"] > 0.5


@pytest.mark.slow
def test_two_ranks_judge_as_one(learned, four_images):
    told = run_train("evaluate", four_images, "--checkpoint", learned, "--device", "cpu", "--json", processes=2)
    assert told.returncode == 0, told.stderr
    scores, summary = json.loads(told.stdout), summary_of(learned)
    assert {name: scores[f"val_{name}"] for name in NAMES} == {name: summary[f"val_{name}"] for name in NAMES}
    assert scores["val_images"] == 4


@pytest.mark.slow
def test_on_drawn_shapes_its_map_is_above_a_half(weights, tmp_path, capsys):
    """800 steps of 8 images: two minutes of CPU time, on two busy cores three."""
    data = write_shapes(tmp_path / "data", train=400, val=60)
    status, _, err = detect(capsys, data, weights, tmp_path / "run", *LEARNING, "--epochs", 16)
    assert (status, err) == (0, "")
    assert summary_of(tmp_path / "run")["val_map"] > 0.5
