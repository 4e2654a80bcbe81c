"""Teachers: a run of in21k or a published model; what a student learns, and what is refused."""

from dataclasses import replace

import pytest
import timm
import torch

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.evaluation.scores import evaluate, trained_model
from in21k.train.model.level_order import level_order
from in21k.train.trainer.loop import pretrain
from in21k.train.trainer.teacher import open_teacher

CPU = Ranks(torch.device("cpu"))
VALUES = {
    "model.name": "test_resnet",
    "data.image_size": 32,
    "data.batch_size": 12,
    "data.cutout": 0.0,
    "data.randaugment_ops": 0,
    "optim.epochs": 8,
    "optim.lr": 1e-2,
    "run.device": "cpu",
    "run.workers": 0,
    "run.eval_epochs": 8,
}
TAUGHT = {"loss.scheme": "semantic-distillation", "distill.hard_weight": 0.0, "distill.weight": 5.0}


def config_of(**values) -> Config:
    return with_values(Config(), {**VALUES, **{key.replace("__", "."): value for key, value in values.items()}})


@pytest.fixture(scope="module")
def trained(dataset_folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("teacher") / "run"
    return run, pretrain(str(dataset_folder), run, config_of(), progress=False)


@pytest.mark.parametrize("scheme", ["semantic-distillation", "distillation"])
def test_a_student_learns_from_a_teacher_alone(trained, dataset_folder, tmp_path, scheme):
    """Without labels in its loss, it learns the classes."""
    run, teacher = trained
    config = with_values(config_of(distill__teacher=str(run)), {**TAUGHT, "loss.scheme": scheme})
    summary = pretrain(str(dataset_folder), tmp_path / "student", config, progress=False)
    assert teacher["val_semantic_top1"] > teacher["majority_semantic_top1"] + 0.2
    assert summary["val_semantic_top1"] > summary["majority_semantic_top1"] + 0.1


def test_teacher_logits_are_those_of_its_evaluation(trained, dataset_folder):
    """In the student's order, in eval mode, without a gradient."""
    run, summary = trained
    data = open_dataset(str(dataset_folder))
    config = config_of(distill__teacher=str(run), loss__scheme="semantic-distillation")
    teacher = open_teacher(config, data, level_order(data.hierarchy), CPU)
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    logits = teacher(images)
    assert not logits.requires_grad
    assert torch.equal(teacher(images[:1]), logits[:1]) or torch.allclose(teacher(images[:1]), logits[:1], atol=1e-5)
    again = evaluate(str(dataset_folder), trained_model(run), config.data, config.run)
    assert again["val_semantic_top1"] == summary["val_semantic_top1"]


def test_a_published_teacher_has_the_rows_of_the_datasets_classes(dataset_folder, tmp_path):
    module = timm.create_model("test_resnet", num_classes=11_221).eval()
    torch.nn.init.normal_(module.fc.weight)
    file = tmp_path / "model.pth"
    torch.save(module.state_dict(), file)
    data = open_dataset(str(dataset_folder))
    order = level_order(data.hierarchy)
    settings = {"distill__teacher": "test_resnet", "distill__teacher_weights": str(file)}
    teacher = open_teacher(config_of(**settings, loss__scheme="distillation"), data, order, CPU)
    images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    config = timm.models.get_pretrained_cfg("test_resnet")
    mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
    places = [timm.data.ImageNetInfo("imagenet-21k-miil").label_names().index(wnid) for wnid in data.hierarchy.wnids]
    with torch.no_grad():
        expected = module((images / 255 - mean) / std)[:, places][:, torch.from_numpy(order.class_of_row)]
    torch.testing.assert_close(teacher(images), expected, rtol=1e-4, atol=1e-4)


def test_unusable_teachers_are_refused(trained, dataset_folder, tmp_path):
    data = open_dataset(str(dataset_folder))
    order = level_order(data.hierarchy)
    run, _ = trained
    distilling = config_of(loss__scheme="semantic-distillation")
    for config, message in (
        (distilling, "loss.scheme=semantic-distillation needs a teacher; pass --teacher with a run or a model of timm"),
        (config_of(distill__teacher=str(run)), "loss.scheme=semantic-softmax has no use for the teacher"),
        (_taught_by(distilling, str(tmp_path)), "there is no checkpoint"),
        (_taught_by(distilling, "resnet_of_nobody"), "timm has no model 'resnet_of_nobody'"),
        (_taught_by(distilling, "runs/nobody"), "runs/nobody: there is no such run or file of weights"),
        (_taught_by(distilling, str(run), "x.pth"), "has its own weights; leave --teacher-weights out"),
    ):
        with pytest.raises(TrainError, match=message):
            open_teacher(config, data, order, CPU)


def _taught_by(config: Config, teacher: str, weights: str = "") -> Config:
    return replace(config, distill=replace(config.distill, teacher=teacher, teacher_weights=weights))
