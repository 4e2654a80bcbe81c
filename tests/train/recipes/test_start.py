"""A recipe that starts from weights is run with weights that are named, or with random ones that are asked for."""

import json

import pytest
from train_runs import answer, trained

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError
from in21k.train.recipes import read_recipe
from in21k.train.recipes.recipe import open_recipe, recipe_names
from in21k.train.trainer.loop import pretrain

SHORT = ["--model", "test_resnet", "--device", "cpu", "--workers", 0, "--batch-size", 20, "--epochs", 1]
ASKED = "starts from ImageNet-1K weights, and none are named; give --pretrained (timm's, a download), --init FILE, or"
FROM_WEIGHTS = {
    "hierarchical-cross-entropy",
    "multi-label",
    "semantic-distillation",
    "semantic-softmax",
    "single-label",
    "single-label-distillation",
    "soft-labels",
}


def test_the_recipes_that_start_from_weights_say_so():
    assert {name for name in recipe_names() if open_recipe(name).config.model.start == "weights"} == FROM_WEIGHTS


@pytest.mark.parametrize("more", [(), ("--recipe", "soft-labels"), ("--set", "model.pretrained=false")])
def test_a_run_from_no_named_weights_is_refused_before_the_data_are_opened(capsys, tmp_path, more):
    status, out, err = answer(capsys, "pretrain", tmp_path / "none", *SHORT, "--output", tmp_path / "run", *more)
    recipe = more[1] if "--recipe" in more else "semantic-softmax"
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"error: the recipe {recipe} {ASKED} --scratch" in err


@pytest.mark.parametrize(
    "named",
    [
        ("--scratch",),
        ("--pretrained",),
        ("--set", "model.pretrained=true"),
        ("--init", "weights.safetensors"),
        ("--recipe", "single-label-scratch"),
    ],
)
def test_named_weights_or_scratch_are_enough(capsys, tmp_path, named):
    status, _, err = answer(capsys, "pretrain", tmp_path / "none", *SHORT, "--output", tmp_path / "run", *named)
    assert status == 1
    assert f"{tmp_path / 'none'}" in err  # the next that is wrong


def test_a_recipe_of_ones_own_starts_as_the_one_that_it_extends(capsys, tmp_path):
    for text, is_asked in (
        ('extends = "single-label"', True),
        ('extends = "single-label-scratch"', False),
        ("", False),
    ):
        (tmp_path / "mine.toml").write_text(text)
        how = ["--recipe", tmp_path / "mine.toml", "--output", tmp_path / "run"]
        _, _, err = answer(capsys, "pretrain", tmp_path / "none", *SHORT, *how)
        assert (ASKED in err) == is_asked


def test_scratch_and_weights_contradict_each_other(capsys, tmp_path):
    how = ["--scratch", "--pretrained", "--output", tmp_path / "run"]
    status, _, err = answer(capsys, "pretrain", tmp_path / "none", *SHORT, *how)
    assert (status, err.count("\n")) == (1, 1)
    assert "--scratch (model.start=random) starts from random weights, and model.pretrained=true names others" in err


def test_a_resumed_run_asks_nothing_again(capsys, dataset_folder, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    assert answer(capsys, "pretrain", dataset_folder, *SHORT, "--scratch", "--output", run)[0] == 0
    status, _, err = answer(capsys, "pretrain", dataset_folder, *SHORT, "--output", run, "--resume")
    assert (status, err) == (0, "")
    assert json.loads((run / "config.json").read_text())["config"]["model"]["start"] == "random"
    assert ASKED in answer(capsys, "pretrain", dataset_folder, *SHORT, "--output", other, "--resume")[2]


def test_a_run_from_before_the_setting_is_resumed(capsys, dataset_folder, tmp_path):
    run = trained(dataset_folder, tmp_path / "run", "test_resnet")
    record = json.loads((run / "config.json").read_text())
    del record["config"]["model"]["start"]
    (run / "config.json").write_text(json.dumps(record))
    status, _, err = answer(capsys, "pretrain", dataset_folder, *SHORT, "--output", run, "--resume")
    assert (status, err) == (0, "")


def test_a_program_is_asked_too(dataset_folder, tmp_path):
    config = with_values(read_recipe("semantic-softmax"), {"model.name": "test_resnet"})
    with pytest.raises(TrainError, match=r"^the recipe starts from ImageNet-1K weights, and none are named"):
        pretrain(str(dataset_folder), tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
    assert Config().model.start == "any"
