"""What help and completion import: nothing of what a command needs to do its work."""

import importlib
import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from click.testing import CliRunner

HEAVY = {
    *("torch", "timm", "torchvision", "pandas", "cv2", "simplejpeg", "PIL.Image", "tqdm", "dask", "matplotlib", "nltk"),
    *("pyarrow.compute", "pyarrow.parquet", "in21k.prep.cli.run"),
}
WORK = {
    "prep": (
        "raw",
        "stages.filter",
        "stages.shard",
        "dataset",
        "hierarchy",
        "duplicates.find",
        "demo.dump",
        "executor",
    ),
    "train": ("trainer", "stream", "evaluation", "use", "transfer", "embed", "detection"),
}
"""Rooms and modules of each program that only its commands need."""

NOTED = """
import atexit, json, os, sys
atexit.register(lambda: open(os.environ["NOTED"], "w").write(json.dumps(sorted(sys.modules))))
from in21k.{program}.cli.main import main
main(prog_name="in21k-{program}")
"""


def modules(program: str, tmp_path, *arguments: str, **environment: str) -> set[str]:
    """The modules that are there when a command line has come to its end."""
    noted = tmp_path / "modules.json"
    command = [sys.executable, "-c", NOTED.format(program=program), *arguments]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | environment | {"NOTED": str(noted)}
    )
    assert run.stdout
    return set(json.loads(noted.read_text()))


def complete(program: str, words: str) -> dict[str, str]:
    """The environment in which a shell asks for completions."""
    return {
        f"_IN21K_{program.upper()}_COMPLETE": "zsh_complete",
        "COMP_WORDS": f"in21k-{program} {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }


@pytest.mark.parametrize("program", ["prep", "train"])
def test_help_and_completion_import_nothing_of_the_work(program, tmp_path):
    command = {"prep": "run", "train": "pretrain"}[program]
    for found in (
        modules(program, tmp_path, "--help"),
        modules(program, tmp_path, command, "--help"),
        modules(program, tmp_path, **complete(program, f"{command} --s")),
    ):
        assert f"in21k.{program}.cli.main" in found
        assert found & HEAVY == set()
        work = [f"in21k.{program}.{room}" for room in WORK[program]]
        assert [name for name in found if name in work or name.startswith(tuple(f"{room}." for room in work))] == []


@pytest.mark.parametrize("program", ["prep", "train"])
def test_the_version_names_what_a_report_of_a_bug_needs(program):
    main = importlib.import_module(f"in21k.{program}.cli.main").main
    first, python, imaging, tables, training = CliRunner().invoke(main, ["--version"]).stdout.splitlines()
    assert first == f"in21k-{program}, version {version('in21k')}"
    assert python.startswith(f"Python {platform.python_version()}, {platform.system()} ")
    assert re.fullmatch(r"pillow(-simd)? \S+, simplejpeg \S+(, opencv-\S+ \S+)?", imaging)
    assert tables == f"numpy {version('numpy')}, pyarrow {version('pyarrow')}"
    assert training.startswith(f"torch {version('torch')}")
