"""Recipes and settings: every value checked, every wrong key answered with the nearest."""

import pytest

from in21k.train.config.overrides import config_from_dict, differences, parse_setting, read_overrides, with_values
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError
from in21k.train.recipes import parse_recipe, read_recipe, recipe_names


def test_the_default_recipe_is_that_of_the_authors():
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
        ("model.init=7", ("model.init", "7")),
        ("data.cache_size=5000", ("data.cache_size", "5000")),
        pytest.param(f"run.seed={'9' * 5000}", ("run.seed", "9" * 5000), id="more digits than Python reads"),
    ],
)
def test_settings_are_read_as_toml_or_text(text, expected):
    assert parse_setting(text) == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optim.l2", 1.0, r"there is no setting 'optim\.l2'; did you mean optim\.lr or optim\."),
        ("optim.learning_rate", 0.1, r"'optim\.learning_rate'; did you mean optim\.lr or optim\.head_lr\?$"),
        ("label_smoothing", 0.1, r"there is no setting 'label_smoothing'; did you mean loss\.label_smoothing\?$"),
        ("run.name", "a", r"there is no setting 'run\.name'; did you mean model\.name or optim\.name\?$"),
        ("qqqq", 1.0, "there is no setting 'qqqq'; `in21k-train settings` lists all of them$"),
        ("", 1.0, "there is no setting ''; `in21k-train settings` lists"),
        ("optim.lr", "fast", "optim.lr must be a number, not 'fast'"),
        ("optim.epochs", 1.5, "optim.epochs must be a whole number, not 1.5"),
        ("run.amp", 1, "run.amp must be true or false, not 1"),
        ("optim.epochs", True, "optim.epochs must be a whole number, not True"),
        ("optim.lr", True, "optim.lr must be a number, not True"),
        ("model.name", 7, "model.name must be text, not 7"),
        ("data.batch_size", 0, "data.batch_size must be between 1 and 16777216, not 0"),
        ("optim.lr", float("nan"), "optim.lr must be between 0 and 1000000"),
        ("optim.lr", 10**400, "optim.lr must be between 0 and 1000000"),
        ("optim.eps", -1e-8, "optim.eps must be between 0 and 1, not -1e-08"),
        ("optim.ema_decay", 1.0, "optim.ema_decay must be between 0 and 0.9999999, not 1.0"),
        ("loss.label_smoothing", 1.5, "loss.label_smoothing must be between 0 and 1, not 1.5"),
        (
            "loss.scheme",
            "magic",
            "loss.scheme must be single-label, multi-label, .* or soft-labels, not 'mag",
        ),
        ("data.cache_size", "lots", "data.cache_size: invalid size 'lots': use e.g. 200GB"),
    ],
)
def test_wrong_settings_are_named(key, value, message):
    with pytest.raises(TrainError, match=message) as caught:
        with_values(Config(), {key: value})
    assert "\n" not in str(caught.value)


def test_every_override_is_checked_even_if_a_later_one_replaces_it():
    assert read_overrides(["optim.lr=1", "optim.lr=2e-3"]) == {"optim.lr": 2e-3}
    with pytest.raises(TrainError, match=r"optim\.lr must be a number, not 'abc'"):
        read_overrides(["optim.lr=abc", "optim.lr=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[optim]\nlr = "high"', r"recipe mine: optim\.lr must be a number, not 'high'"),
        ("[optim]\nrate = 1.0", r"recipe mine: there is no setting 'optim\.rate'"),
        ("lr = 1.0", r"recipe mine: there is no setting 'lr'; did you mean optim\.lr\?"),
        ("[optim]\nlr = ?", r"recipe mine: Invalid value \(at line 2"),
    ],
)
def test_a_wrong_recipe_is_named_with_its_key(text, message):
    with pytest.raises(TrainError, match=message) as caught:
        parse_recipe("mine", text)
    assert "\n" not in str(caught.value)


def test_whole_numbers_serve_as_floats():
    assert with_values(Config(), {"optim.lr": 1}).optim.lr == 1.0


def test_an_unknown_recipe_is_named_with_the_nearest_that_there_are():
    with pytest.raises(TrainError, match="there is no recipe 'sematic-softmax'; did you mean semantic-softmax"):
        read_recipe("sematic-softmax")


def test_only_what_changes_the_batches_hinders_a_resume():
    old = Config()
    assert not differences(
        old,
        with_values(old, {"run.workers": 3, "run.log_steps": 1, "run.device": "cpu", "model.grad_checkpointing": True}),
    )
    assert differences(old, with_values(old, {"optim.lr": 1.0, "run.seed": 2})) == [
        "optim.lr: 0.0003 → 1.0",
        "run.seed: 0 → 2",
    ]
