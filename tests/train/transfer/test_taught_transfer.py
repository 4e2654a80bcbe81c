"""Distillation downstream: a student learns the classes of its data from a teacher of the same classes."""

import json
from pathlib import Path

import pytest
import timm
import torch
from small_coco import write_coco
from small_dataset import jpeg
from train_runs import answer, summary_of, train_losses

from in21k.train.recipes import read_recipe

CLASSES = ("ant", "bee", "cow")
RUN = ["--device", "cpu", "--workers", "0", "--batch-size", 12, "--set", "run.log_steps=1", "--image-size", 32]
PLAIN = [*RUN, "--set", "data.cutout=0", "--set", "data.randaugment_ops=0", "--lr", 5e-3]
ALONE = ["--set", "distill.hard_weight=0"]


def transfer(capsys, data, run, *arguments: object) -> tuple[int, str, str]:
    return answer(capsys, "transfer", data, "--output", run, *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("animals")
    for split in ("train", "val"):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for number in range(24):
                (root / split / name / f"{number}.jpg").write_bytes(jpeg(label, number + 1000 * (split == "val")))
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> list[object]:
    """What a transfer starts from: a file of random weights."""
    torch.manual_seed(3)
    file = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    return ["--checkpoint", file, "--model", "test_resnet"]


def test_a_student_of_one_class_per_image_learns_from_its_teacher_alone(capsys, folder, weights, tmp_path):
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    assert transfer(capsys, folder, teacher, *weights, *PLAIN, "--epochs", 10)[0] == 0
    words = ["--teacher", teacher, *weights, *PLAIN, "--epochs", 10]
    assert transfer(capsys, folder, student, *words, *ALONE)[0] == 0
    assert summary_of(teacher)["val_top1"] > 0.8
    assert summary_of(student)["val_top1"] > 0.7
    record = json.loads((student / "config.json").read_text())
    assert record["recipe"]["name"] == "transfer-distillation"
    assert record["config"]["loss"]["scheme"] == "distillation"
    assert record["sources"]["distill.teacher"] == "command line"
    assert record["sources"]["model.init"] == "checkpoint"
    status, _, err = transfer(capsys, folder, student, *words, *ALONE, "--resume")
    assert (status, err) == (0, "")


def test_a_student_of_any_number_of_classes_learns_from_its_teacher_alone(capsys, weights, tmp_path):
    root = write_coco(tmp_path / "coco", train=64, val=16)
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    assert transfer(capsys, root, teacher, *weights, *PLAIN, "--epochs", 10)[0] == 0
    words = ["--teacher", teacher, *weights, *PLAIN, "--epochs", 10]
    assert transfer(capsys, root, student, *words, *ALONE)[0] == 0
    assert json.loads((student / "config.json").read_text())["recipe"]["name"] == "transfer-multi-label-distillation"
    assert summary_of(teacher)["val_map"] > 0.8
    assert summary_of(student)["val_map"] > 0.7
    status, _, err = transfer(capsys, root, tmp_path / "x", *words, "--recipe", "transfer-distillation")
    assert (status, err.count("\n")) == (1, 1)
    assert "use --recipe transfer-multi-label-distillation" in err


def test_a_published_teacher_knows_the_classes_by_wnid(capsys, dataset_folder, weights, tmp_path):
    module = timm.create_model("test_resnet", num_classes=11_221)
    torch.save(module.state_dict(), tmp_path / "teacher.pth")
    words = ["--teacher", "test_resnet", "--teacher-weights", tmp_path / "teacher.pth", *weights, *PLAIN]
    assert transfer(capsys, dataset_folder, tmp_path / "run", *words, "--epochs", 1)[0] == 0
    assert len(train_losses(tmp_path / "run")) == 7


def test_a_teacher_of_other_classes_is_one_line(capsys, folder, dataset_folder, weights, tmp_path):
    teacher = tmp_path / "teacher"
    assert transfer(capsys, folder, teacher, *weights, *PLAIN, "--epochs", 1)[0] == 0
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "1k.pth")
    published = ["--teacher", "test_resnet", "--teacher-weights", tmp_path / "1k.pth"]
    for data, taught, message in (
        (dataset_folder, ["--teacher", teacher], "the 3 classes of the teacher "),
        (folder, published, "3 of the dataset's 3 classes are not among the 1,000 of "),
        (folder, ["--teacher", "runs/nobody"], "runs/nobody: there is no such run or file of weights"),
        (folder, ["--teacher", teacher, "--recipe", "transfer-single-label"], "has no use for the teacher"),
        (folder, ["--recipe", "transfer-distillation"], "needs a teacher; pass --teacher"),
        (folder, ["--teacher", teacher, "--probe"], "a linear probe learns from no teacher"),
    ):
        status, out, err = transfer(capsys, data, tmp_path / "run", *taught, *weights, *PLAIN, "--epochs", 1)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert message in err
        assert not (tmp_path / "run").exists()


def test_a_recipe_that_says_the_image_size_has_it_whatever_the_checkpoint_is_of(capsys, folder, weights, tmp_path):
    (tmp_path / "small.toml").write_text('extends = "transfer-single-label"\n[data]\nimage_size = 40\n')
    words = [*weights, "--recipe", tmp_path / "small.toml", *RUN[:-2], "--epochs", 1]
    assert transfer(capsys, folder, tmp_path / "run", *words)[0] == 0
    assert summary_of(tmp_path / "run")["image_size"] == 40
    assert read_recipe("imagenet1k").data.image_size == read_recipe("imagenet1k-distillation").data.image_size == 224
