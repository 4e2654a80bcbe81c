"""Recipes and settings: every value checked, every wrong key answered with the right ones."""

import pytest

from in21k.train.config.overrides import config_from_dict, differences, parse_setting, with_values
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError
from in21k.train.recipes import read_recipe, recipe_names


def test_the_recipe_is_the_papers():
    config = read_recipe("semantic-softmax")
    assert (config.optim.lr, config.optim.weight_decay, config.optim.epochs) == (3e-4, 1e-4, 80)
    assert (config.optim.pct_start, config.optim.div_factor) == (0.1, 20.0)
    assert (config.data.batch_size, config.data.cutout, config.data.randaugment_ops) == (8 * 416, 0.5, 2)
    assert (config.loss.scheme, config.loss.label_smoothing, config.run.amp) == ("semantic-softmax", 0.2, True)


@pytest.mark.parametrize("name", recipe_names())
def test_every_packaged_recipe_is_valid(name):
    config = read_recipe(name)
    assert config_from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim.lr=2e-4", ("optim.lr", 2e-4)),
        ("optim.epochs = 3", ("optim.epochs", 3)),
        ("run.amp=false", ("run.amp", False)),
        ("model.name=resnet18", ("model.name", "resnet18")),
        ('model.init="a=b.pt"', ("model.init", "a=b.pt")),
    ],
)
def test_settings_are_read_as_toml_or_text(text, expected):
    assert parse_setting(text) == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optim.rl", 1.0, "there is no setting 'optim.rl'; the settings are: model.name, .*optim.lr, "),
        ("optim", 1.0, "there is no setting 'optim'"),
        ("optim.lr", "fast", "optim.lr takes a value of type float, not 'fast'"),
        ("optim.epochs", 1.5, "optim.epochs takes a value of type int, not 1.5"),
        ("run.amp", 1, "run.amp takes a value of type bool, not 1"),
        ("optim.epochs", True, "optim.epochs takes a value of type int"),
        ("data.batch_size", 0, "data.batch_size lies between 1 and"),
        ("optim.lr", float("nan"), "optim.lr lies between"),
        ("loss.label_smoothing", 1.5, "loss.label_smoothing lies between 0 and 1, and 1.5 does not"),
    ],
)
def test_wrong_settings_are_named(key, value, message):
    with pytest.raises(TrainError, match=message) as caught:
        with_values(Config(), {key: value})
    assert "\n" not in str(caught.value)


def test_whole_numbers_serve_as_floats():
    assert with_values(Config(), {"optim.lr": 1}).optim.lr == 1.0


def test_an_unknown_recipe_is_named_with_those_that_are():
    with pytest.raises(
        TrainError, match="there is no recipe 'paper'; name one of: multi-label, semantic-distillation, "
    ):
        read_recipe("paper")


def test_only_what_changes_the_batches_hinders_a_resume():
    old = Config()
    assert not differences(old, with_values(old, {"run.workers": 3, "run.log_steps": 1, "run.device": "cpu"}))
    assert differences(old, with_values(old, {"optim.lr": 1.0, "run.seed": 2})) == [
        "optim.lr: 0.0003 → 1.0",
        "run.seed: 0 → 2",
    ]
