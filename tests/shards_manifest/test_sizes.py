"""Sizes that users write, read the same way by every command."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from in21k.shards_manifest.sizes import LARGEST, SizeError, parse_size

UNITS = {
    "": 1,
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", start=1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", start=1)},
}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("200GB", 200 * 10**9),
        ("1.5TB", 15 * 10**11),
        ("500 mb", 5 * 10**8),
        ("3K", 3000),
        ("1.5g", 15 * 10**8),
        ("4KiB", 4096),
        ("600 MiB", 600 << 20),
        (" 2gib ", 2 << 30),
        ("0.1KB", 100),
        ("7", 7),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "GB", "-3GB", "+3GB", "3 miles", "inf", "nan", "1e9", "1,5GB", ".5GB", "5.", "2iB", "٣GB", "1\n2", "9" * 5000],
)
def test_what_is_not_a_size_is_named(text):
    with pytest.raises(SizeError, match=r"invalid size .*: use e\.g\. 200GB"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "0.0GB", "0.5", "0.0001KB", "9999999TiB", "9223372036854775808"])
def test_sizes_are_bounded(text):
    with pytest.raises(SizeError, match="must be between 1 byte and"):
        parse_size(text)


@given(
    number=st.integers(1, 10**6),
    unit=st.sampled_from(sorted(UNITS)),
    space=st.sampled_from(["", " "]),
    lower=st.booleans(),
)
def test_a_number_and_a_unit_come_back_as_their_product(number, unit, space, lower):
    text = f"{number}{space}{unit}"
    assert parse_size(text.lower() if lower else text) == number * UNITS[unit]


@given(size=st.integers(1, LARGEST))
def test_bytes_come_back_as_they_are(size):
    assert parse_size(str(size)) == size


@given(text=st.text() | st.from_regex(r"[0-9.]+ ?[kKmMgGtT]?[iI]?[bB]?", fullmatch=True))
def test_any_text_is_a_size_or_a_named_error(text):
    with suppress(SizeError):
        assert 1 <= parse_size(text) <= LARGEST
