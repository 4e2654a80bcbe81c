"""What `run` says while it runs: lines under nohup, bars on a terminal, and nothing of it in stdout."""

import json
import re

import pytest
from commands import PREP, prep
from spoken import detached, on_terminal

OPTIONS = ("--min-images", 10, "--val-per-class", 2, "--size", 32, "--samples-per-shard", 40, "--workers", 1)
STAGES = ("filter", "split", "resize", "shard")


def test_under_nohup_each_stage_says_where_it_begins_and_ends(dataset, tmp_path):
    command = (*PREP, "run", dataset.raw, tmp_path / "work", tmp_path / "out", *OPTIONS)
    lines = [line for line in detached(tmp_path, *command) if line.startswith("[")]
    assert [line.partition(":")[0] for line in lines] == [
        f"[{number}/4] {name}" for number, name in enumerate(STAGES, 1) for _ in range(2)
    ]
    assert re.fullmatch(r"\[1/4\] filter: [\d.]+ [kM]B in [\d.]+ m?s, .*B/s", lines[1])
    assert re.fullmatch(r"\[3/4\] resize: [\d,]+ images", lines[4])
    assert re.fullmatch(r"\[3/4\] resize: [\d,]+ images in [\d.]+ s, [\d.,]+ images/s", lines[5])
    again = [line for line in detached(tmp_path, *command) if line.startswith("[")]
    assert again[:3] == [f"[{number}/4] {STAGES[number - 1]}: nothing left to do" for number in (1, 2, 3)]


def test_stdout_is_json_alone(dataset, tmp_path):
    done = prep("run", dataset.raw, tmp_path / "work", tmp_path / "out", *OPTIONS, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["command"] == "run"
    assert "[4/4] shard: " in done.stderr


@pytest.mark.parametrize("columns", [160, 0])
def test_on_a_terminal_each_stage_has_its_bar(dataset, tmp_path, columns):
    command = (*PREP, "run", dataset.raw, tmp_path / "work", tmp_path / "out", *OPTIONS)
    printed = on_terminal(*command, columns=columns)
    for number, name in enumerate(STAGES, 1):
        assert re.search(rf"\[{number}/4\] {name}: 100%\|.+\| .*/s\]", printed)
    assert " images/s]" in printed
    assert not re.search(r"\d images in \d", printed)  # no lines where there are bars
