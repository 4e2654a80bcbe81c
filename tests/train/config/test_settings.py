"""Each setting is declared with its help, and with a range or choices: none can be forgotten."""

from dataclasses import fields

import pytest

from in21k.train.config.fields import METADATA
from in21k.train.config.settings import SETTINGS, Config
from in21k.train.losses.schemes import SCHEMES

DECLARED = {
    f"{section.name}.{field.name}": field
    for section in fields(Config)
    for field in fields(getattr(Config, section.name))
}


@pytest.mark.parametrize("key", DECLARED)
def test_every_setting_is_declared_in_full(key):
    setting = DECLARED[key].metadata[METADATA]
    assert SETTINGS[key] is setting
    assert DECLARED[key].type == (int | str if setting.by_epoch else setting.kind)
    assert setting.help[0].isupper(), "the help is a sentence"
    assert setting.help.endswith(".")
    has_range = setting.low is not None and setting.high is not None and setting.low < setting.high
    assert has_range == (setting.kind in (int, float))
    assert (bool(setting.choices) != bool(setting.text)) == (setting.kind is str)
    assert setting.checked(key, DECLARED[key].default) == DECLARED[key].default


def test_the_schemes_are_those_that_have_a_loss():
    assert list(SETTINGS["loss.scheme"].choices) == list(SCHEMES)


@pytest.mark.parametrize("key", [key for key, setting in SETTINGS.items() if setting.choices])
def test_choices_are_stated_where_values_are_wrong(key):
    assert SETTINGS[key].takes.replace(" or ", ", ").split(", ") == list(SETTINGS[key].choices)
