"""Numbers as people read them."""

import pytest

from in21k.shards_manifest.command.numbers import (
    bytes_text,
    count_text,
    counted,
    points_text,
    rate_text,
    score_text,
    seconds_text,
    share_text,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_100_000_000, "1.1 GB"),
        (84_000_000_000, "84 GB"),
        (1_310_000_000_000, "1.3 TB"),
        (2_000_000_000_000_000_000, "2,000 PB"),
    ],
)
def test_sizes_have_two_figures_at_least(size, text):
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (320, "5 min 20 s"),
        (3599.7, "1 h"),
        (7_980, "2 h 13 min"),
        (172_799, "2 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_times_are_in_their_two_largest_units(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.0, "0"), (3.14159, "3.142"), (0.00031234, "0.0003123"), (1e-7, "1.000e-07"), (123456.7, "123,457")],
)
def test_scores_have_four_figures(score, text):
    assert score_text(score) == text


def test_counts_rates_and_shares():
    assert [count_text(1234567), rate_text(12.34), rate_text(1234.4)] == ["1,234,567", "12.3", "1,234"]
    assert [share_text(0.8123), points_text(0.411), points_text(-0.05)] == ["81.2%", "+41.1", "-5.0"]


@pytest.mark.parametrize(
    ("count", "what", "text"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (1234, "image", "1,234 images"),
        (2, "class", "2 classes"),
        (2, "box", "2 boxes"),
        (2, "query", "2 queries"),
    ],
)
def test_one_of_a_thing_is_no_plural(count, what, text):
    assert counted(count, what) == text
