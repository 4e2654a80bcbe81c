"""What a command prints at its end."""

import json
import subprocess
from pathlib import Path

from in21k.shards_manifest.command.summary import command_line, json_line, print_summary, summary_lines

SPLIT = {"classes": 33, "train": 1056, "val": 0, "rejected": 0, "unselected": 0}
LEVELS = {
    "val_semantic_top1": 0.5,
    "val_loss": None,
    "val_images": 20,
    "classes_by_level": {"0": 2, "1": 12},
    "val_semantic_top1_by_level": {"0": 0.75, "1": 0.25},
    "majority_semantic_top1_by_level": {"0": 0.5, "1": 0.3},
}


def test_a_summary_is_aligned_and_leaves_out_counts_that_are_usually_zero():
    assert list(summary_lines("split", SPLIT)) == [
        "split: done",
        "  classes          33",
        "  train images  1,056",
        "  val images        0",
        "  rejected          0",
    ]


def test_level_results_are_a_table():
    lines = list(summary_lines("evaluate", LEVELS))
    assert lines[:3] == ["evaluate: done", "  semantic top-1  50.0%", "  val images         20"]
    assert lines[3:] == [
        "",
        "  level  classes  top-1  majority   gain",
        "      0        2  75.0%     50.0%  +25.0",
        "      1       12  25.0%     30.0%   -5.0",
    ]


def test_results_by_number_of_neighbors_are_a_table():
    lines = list(summary_lines("transfer", {"knn": {"10": {"val_top1": 0.5}, "200": {"val_top1": 0.25}}}))
    assert lines[2:] == [
        "  by number of neighbors  top-1",
        "                      10  50.0%",
        "                     200  25.0%",
    ]


def test_json_is_one_object_on_one_line_with_the_command_first_and_no_nan():
    line = json_line("resize", {"val": 2, "train": float("nan"), "folder": Path("a/b")})
    assert "\n" not in line
    assert list(json.loads(line).items()) == [("command", "resize"), ("train", None), ("val", 2), ("folder", "a/b")]


def test_a_count_of_another_version_is_shown_as_it_is_named():
    assert list(summary_lines("inspect", {"odd_socks": 1234}))[1:] == ["  odd socks  1,234"]


def test_the_next_command_can_be_pasted_whatever_the_paths(tmp_path):
    words = ["it's here", "a b", "$HOME", "tab\there", "new\nline", "caf\u00e9", "back\\slash\n'"]
    line = command_line("printf", r"%s\0", *words)
    assert "\n" not in line
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == words


def test_the_last_line_names_the_page_that_a_command_wrote(capsys):
    print_summary("report", {"page": "my report/report.html"}, False)
    assert capsys.readouterr().out.endswith("\nnext: open 'my report/report.html' in a browser\n")
    print_summary("report", {"page": "report.html"}, True)
    assert "next" not in capsys.readouterr().out


def test_what_to_type_next_is_for_people_alone(capsys):
    print_summary("split", SPLIT, False, then=[("in21k-prep", "resize", Path("my work")), ("a", 1)])
    assert capsys.readouterr().out.endswith("\nnext: in21k-prep resize 'my work'\n  or: a 1\n")
    print_summary("split", SPLIT, True, then=[("in21k-prep", "resize", "work")])
    assert capsys.readouterr().out.count("\n") == 1
