"""Wrong usage says how a command is used, above the one line that says what is wrong."""

import subprocess

import pytest
import warm


@pytest.mark.parametrize(
    ("given", "usage", "line"),
    [
        ("prep filter", "in21k-prep filter [OPTIONS] RAW WORK", "RAW and WORK are missing"),
        ("prep shard work", "in21k-prep shard [OPTIONS] WORK OUT", "OUT is missing"),
        ("train transfer", "in21k-train transfer [OPTIONS] DATA", "DATA, --checkpoint and --output are missing"),
        ("train evaluate out", "in21k-train evaluate [OPTIONS] DATA", "give either --checkpoint or --model"),
        ("train recipes show", "in21k-train recipes show [OPTIONS] NAME|FILE", "NAME|FILE is missing"),
    ],
)
def test_the_usage_and_where_help_is_stand_above_the_error(tmp_path, given, usage, line):
    package, *words = given.split()
    command = warm.python("-m", f"in21k.{package}", *words)
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    path = usage.partition(" [")[0]
    assert run.stderr == f"Usage: {usage}\nTry {path} --help.\nin21k-{package}: error: {line}\n"
