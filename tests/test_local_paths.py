"""What is written to this machine alone: a URI in its place is refused, and makes no folder named `s3:`."""

import subprocess
import sys

import pytest
import warm
from commands import PREP, error_lines

TRAIN = (sys.executable, "-m", "in21k.train")
URI = "s3://key:secret@bucket/folder"
COMMANDS = {
    "report": (*PREP, "report", "fall11-p", "--output", URI),
    "tree": (*PREP, "tree", "fall11-p", "--output", URI),
    "demo": (*PREP, "demo", URI),
    "inspect": (*PREP, "inspect", "out", "--class", "dog", "--save", URI),
    "pretrain": (*TRAIN, "pretrain", "out", "--model", "test_vit", "--output", URI),
    "transfer": (*TRAIN, "transfer", "out", "--checkpoint", "run", "--output", URI),
    "curves": (*TRAIN, "curves", "run", "--output", URI),
    "predict": (*TRAIN, "predict", "dog.jpg", "--checkpoint", "run", "--picture", URI),
    "export": (*TRAIN, "export", "run", URI),
    "evaluate": (*TRAIN, "evaluate", "out", "--checkpoint", URI),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_uri_in_place_of_a_local_path_is_one_line(tmp_path, command):
    command = warm.python(*command[1:])
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 2
    assert len(error_lines(run.stderr)) == 1
    assert run.stderr.endswith(
        ": s3://bucket/folder: only a path on this machine will do here, not a URI; give a local one\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_uri_as_the_cache_is_one_line(dataset, tmp_path):
    options = (
        "--scratch",
        "--model",
        "test_vit",
        "--device",
        "cpu",
        "--batch-size",
        4,
        "--output",
        "run",
        "--cache",
        URI,
    )
    command = warm.python(*TRAIN[1:], "pretrain", dataset.out, *options, "--image-size", 32)
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("in21k-train: error: s3://bucket/folder: only a path on this machine will do here")
    assert run.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
