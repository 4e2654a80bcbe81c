"""Where there is no terminal, work says how far it has come: rarely, in lines, and not at all if it is short."""

import io
import sys
from contextlib import suppress

import pytest

from in21k.shards_manifest.command.progress import BYTES, Progress, Timing, stage, tell


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def timed(clock: Clock, *given, **named) -> Progress:
    return Progress(*given, timing=Timing(first=10, every=60, clock=clock), **named)


def said(capsys) -> list[str]:
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


def test_short_work_says_nothing(capsys, clock):
    with timed(clock, "verify", "shard", 3) as bar:
        for _ in range(3):
            clock.seconds += 3
            bar.update()
    assert said(capsys) == []


def test_long_work_has_a_line_soon_then_one_a_minute_and_one_at_its_end(capsys, clock):
    with timed(clock, "hash", "image", 40_000) as bar:
        for _ in range(400):
            clock.seconds += 1
            bar.update(100)
    lines = said(capsys)
    assert lines[:2] == [
        "hash: 1,000 of 40,000 images (2.5%), 100 images/s, 6 min 30 s left",
        "hash: 7,000 of 40,000 images (17.5%), 100 images/s, 5 min 30 s left",
    ]
    assert lines[-1] == "hash: 40,000 images in 6 min 40 s, 100 images/s"
    assert len(lines) == 1 + 6 + 1


def test_a_stage_says_where_it_begins_and_ends_and_counts_what_was_done_before(capsys, clock):
    with stage(3, 4, "resize"), timed(clock, "resize", "image", 1000, done=200) as bar:
        clock.seconds += 20
        bar.update(800)
    assert said(capsys) == [
        "[3/4] resize: 200 of 1,000 images",
        "[3/4] resize: 1,000 images in 20 s, 40.0 images/s",
    ]


def test_the_rate_and_what_is_left_leave_out_what_was_done_before(capsys, clock):
    bar = timed(clock, "resize", "image", 1000, done=600)
    clock.seconds += 20
    bar.update(200)
    assert said(capsys) == ["resize: 800 of 1,000 images (80.0%), 10.0 images/s, 20 s left"]


def test_a_stage_without_work_says_so(capsys):
    with stage(2, 4, "split"):
        pass
    with stage(3, 4, "resize"), Progress("resize", "image", 5):
        pass
    assert said(capsys)[0] == "[2/4] split: nothing left to do"
    with Progress("resize", "image", 5):  # after the stages, work is none of them
        pass
    assert said(capsys) == []


def test_bytes_are_sizes_and_a_total_may_come_late(capsys, clock):
    with timed(clock, "filter", BYTES, 0) as bar:
        clock.seconds += 30
        bar.reach(3 * 10**9, 10**12)
    assert said(capsys)[0] == "filter: 3.0 GB of 1.0 TB (0.3%), 100 MB/s, 2 h 46 min left"


def test_work_that_fails_has_no_last_line(capsys, clock):
    with suppress(ValueError), timed(clock, "hash", "class", 8) as bar:
        clock.seconds += 30
        bar.update(2)
        raise ValueError
    assert said(capsys) == ["hash: 2 of 8 classes (25.0%), 0.1 classes/s, 1 min 30 s left"]


def test_what_is_not_shown_says_nothing(capsys, clock):
    with stage(1, 4, "filter"), timed(clock, "filter", "image", 9, shown=False) as bar:
        clock.seconds += 100
        bar.update(9)
        bar.say()
    assert said(capsys) == []


def test_a_reader_that_left_stops_no_work(monkeypatch):
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    tell("a line")
