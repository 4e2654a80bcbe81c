"""Image sizes by epoch: what the setting takes, and what it refuses in one line."""

import pytest

from in21k.train.config.overrides import read_overrides, with_values
from in21k.train.config.settings import Config
from in21k.train.config.sizes import MAX_SIDE, schedule_of
from in21k.train.errors import TrainError

KEY = "data.image_size"


def test_each_size_counts_from_its_epoch_on():
    schedule = schedule_of("0:112, 30:168, 60:224")
    assert [schedule.at(epoch) for epoch in (0, 29, 30, 59, 60, 1000)] == [112, 112, 168, 168, 224, 224]
    assert (schedule.last, schedule.largest, schedule.sizes) == (224, 224, (112, 168, 224))
    assert schedule_of("0:224, 5:112").largest == 224
    assert schedule_of(224).is_constant
    assert schedule_of(224).at(7) == 224


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("0:112,30:168 , 60:224", "0:112, 30:168, 60:224"),
        ("0:112, 10:112, 30:168", "0:112, 30:168"),
        ("0:224", 224),
        ("224", 224),
        (" 0 ", 0),
        (224, 224),
    ],
)
def test_a_schedule_is_kept_in_one_form_and_a_single_size_as_a_number(given, kept):
    config = with_values(Config(), {KEY: given})
    assert config.data.image_size == kept
    assert with_values(Config(), {KEY: config.data.image_size}) == config


@pytest.mark.parametrize("text", ["0:112, 30:168", "00:112,30:168"])
def test_the_command_line_takes_a_schedule(text):
    assert read_overrides([f"{KEY}={text}"]) == {KEY: "0:112, 30:168"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("large", "a whole number of pixels or sizes by their first epoch"),
        ("0:112; 30:168", "by their first epoch"),
        ("0:112, 30", "by their first epoch"),
        ("0:112, 30:168,", "by their first epoch"),
        ("", "by their first epoch"),
        ("0:112, -1:168", "by their first epoch"),
        ("1:112, 30:168", "begin with epoch 0"),
        ("0:112, 30:168, 30:224", "later epochs"),
        ("0:112, 30:168, 20:224", "later epochs"),
        ("0:0, 30:168", f"sizes between 1 and {MAX_SIDE}"),
        (f"0:112, 30:{MAX_SIDE + 1}", f"sizes between 1 and {MAX_SIDE}"),
        ("-3", f"between 0 and {MAX_SIDE}, not -3"),
        (str(MAX_SIDE + 1), f"between 0 and {MAX_SIDE}"),
        (1.5, "a whole number"),
        (True, "a whole number"),
    ],
)
def test_what_is_no_schedule_is_one_line_with_the_value(given, reason):
    with pytest.raises(TrainError, match=reason) as error:
        with_values(Config(), {KEY: given})
    assert str(error.value).startswith(f"{KEY} must ")
    assert "\n" not in str(error.value)
    assert str(given) in str(error.value)
