"""Images that do not decode: counted, said on stderr, and no more of them than `data.max_skipped` allows."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from small_dataset import write_dataset
from spoken import without_progress
from train_runs import FIXED, answer, run_train

from in21k.train.errors import TrainError
from in21k.train.stream.decoder import ALWAYS_ALLOWED, check_skipped

PLAIN = [*FIXED, "--workers", 0, "--epochs", 2, "--batch-size", 31]


def broken(folder: Path, train: int, val: int) -> Path:
    """A dataset of 93 and 17 images, of which so many do not decode."""

    def spoil(split, number, sample):
        return replace(sample, image=b"no picture") if number < {"train": train, "val": val}[split] else sample

    return write_dataset(folder, replace=spoil)


def test_skips_are_counted_in_one_line_on_stderr(capsys, tmp_path):
    data = broken(tmp_path / "data", 2, 1)
    status, _, err = answer(capsys, "pretrain", data, "--output", tmp_path / "run", *PLAIN)
    named = f"; {tmp_path / 'run' / 'skipped.csv'} names what was skipped"
    assert (status, err) == (0, f"in21k-train: 4 train and 1 val images did not decode and were skipped{named}\n")
    status, _, err = answer(capsys, "evaluate", data, "--checkpoint", tmp_path / "run", "--device", "cpu")
    assert (status, err) == (0, "in21k-train: 1 val image did not decode and was skipped\n")


def test_too_many_skips_end_the_run_and_more_may_be_allowed_on_resuming(capsys, tmp_path):
    data, run = broken(tmp_path / "data", 9, 0), tmp_path / "run"
    status, _, err = answer(capsys, "pretrain", data, "--output", run, *PLAIN)
    assert (status, err.count("\n")) == (1, 1)
    assert "images do not decode, more than a share of 0.001 (--max-skipped)" in err
    more = ["--max-skipped", 0.2]
    assert answer(capsys, "pretrain", data, "--output", run, *PLAIN, "--resume", *more)[0] == 0
    with (run / "metrics.csv").open() as file:
        assert sum(int(row["skipped"]) for row in csv.DictReader(file) if row["split"] == "train") == 18


def test_too_many_skips_end_evaluate(capsys, tmp_path):
    data = broken(tmp_path / "data", 0, 7)
    allowed = ["--max-skipped", 0.5]
    assert answer(capsys, "pretrain", data, "--output", tmp_path / "run", *PLAIN, *allowed)[0] == 0
    evaluate = ["evaluate", data, "--checkpoint", tmp_path / "run", "--device", "cpu"]
    status, out, err = answer(capsys, *evaluate)
    assert (status, out) == (1, "")
    assert without_progress(err) == (
        f"in21k-train: error: {data}, val: 7 of 17 images do not decode, more than a share of 0.001 (--max-skipped); "
        "restore the data, or allow more\n"
    )
    assert answer(capsys, *evaluate, *allowed)[0] == 0


@pytest.mark.guard
def test_all_ranks_end_at_the_same_step(tmp_path):
    data = broken(tmp_path / "data", 9, 0)
    options = ["--output", tmp_path / "run", *PLAIN, "--batch-size", 30]
    done = run_train("pretrain", data, *options, processes=2)
    assert done.returncode != 0
    lines = {line.split(":", 2)[2] for line in done.stderr.splitlines() if line.startswith("in21k-train: error: ")}
    assert len(lines) == 1, done.stderr
    assert "do not decode, more than a share of 0.001" in lines.pop()


@pytest.mark.parametrize(
    ("skipped", "seen", "passes", "share", "refused"),
    [
        (ALWAYS_ALLOWED, 10, 1, 0.001, False),
        (ALWAYS_ALLOWED + 1, 10, 1, 0.001, True),
        (3 * ALWAYS_ALLOWED, 30, 3, 0.001, False),
        (100, 100_000, 1, 0.001, False),
        (101, 100_000, 1, 0.001, True),
        (1, 10, 1, 0.0, True),
        (0, 10, 1, 0.0, False),
    ],
)
def test_a_share_of_the_images_or_five_in_a_pass_may_be_skipped(skipped, seen, passes, share, refused):
    if refused:
        with pytest.raises(TrainError, match=f"data: {skipped} of {seen} images"):
            check_skipped(skipped, seen, passes, share, "data")
    else:
        check_skipped(skipped, seen, passes, share, "data")
