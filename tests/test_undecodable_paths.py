"""Paths that are no UTF-8, in the locale C: every command works with them or says in one line what is wrong."""

import os
import shutil
import subprocess
import sys

import pytest
import warm
from commands import PREP, error_lines
from dumps import PIPELINE
from train_runs import FIXED

ODD = os.fsdecode(b"b\xe9")
SHOWN = r"b\xe9"
TRAIN = (sys.executable, "-m", "in21k.train")
NO_UTF8 = f"{SHOWN}: the path is not valid UTF-8, which pyarrow needs; rename it, or set a UTF-8 locale"
PRETRAIN = (*TRAIN, "pretrain", "out", *FIXED, "--batch-size", 4, "--epochs", 1, "--workers", 0)


def run_in(folder, *command, fork=True) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a folder that holds the dump, the dataset and something with an odd name."""
    return subprocess.run(
        warm.python(*command[1:]) if fork else list(map(str, command)),
        cwd=folder,
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(dataset, tmp_path):
    (tmp_path / "raw.tar").symlink_to(dataset.raw)
    (tmp_path / "out").symlink_to(dataset.out)
    shutil.copytree(dataset.out, tmp_path / ODD)
    return tmp_path


REFUSED = {
    "RAW": (*PREP, "run", ODD, "work", "new", *PIPELINE),
    "WORK": (*PREP, "run", "raw.tar", ODD, "new", *PIPELINE),
    "OUT": (*PREP, "run", "raw.tar", "work", ODD, *PIPELINE),
    "verify": (*PREP, "verify", ODD),
    "report": (*PREP, "report", "out", "--output", ODD),
    "DATA": (*TRAIN, "pretrain", ODD, *FIXED, "--output", "run"),
    "--output": (*PRETRAIN, "--output", ODD),
    "transfer": (*TRAIN, "transfer", ODD, "--checkpoint", "timm:test_vit", "--output", "run"),
}


@pytest.mark.parametrize("command", REFUSED.values(), ids=REFUSED)
def test_what_pyarrow_reads_or_writes_is_refused_in_one_line(folder, command):
    done = run_in(folder, *command)
    lines = error_lines(done.stderr.decode())
    assert done.returncode == 1
    assert len(lines) == 1, done.stderr.decode()
    assert lines[0].endswith(f": error: {NO_UTF8}")
    assert not {"work", "new", "run"} & {path.name for path in folder.iterdir()}


MISSING = {
    "--init": (*(word for word in PRETRAIN if word != "--scratch"), "--output", "run", "--init", f"{ODD}.bin"),
    "--teacher": (*PRETRAIN, "--output", "run", "--recipe", "semantic-distillation", "--teacher", f"./{ODD}.bin"),
    "--checkpoint": (*TRAIN, "evaluate", "out", "--checkpoint", f"{ODD}.bin"),
    "predict": (*TRAIN, "predict", "dog.jpg", "--checkpoint", f"{ODD}.bin"),
    "export": (*TRAIN, "export", f"{ODD}.bin", "model"),
    "--edges": (*PREP, "tree", "--edges", f"{ODD}.bin"),
}


@pytest.mark.parametrize("command", MISSING.values(), ids=MISSING)
def test_a_file_that_is_missing_is_named_in_one_line(folder, command):
    done = run_in(folder, *command)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert len(lines) == 1, done.stderr.decode()
    assert SHOWN in lines[0]
    assert not {"run", "model", "hierarchy.parquet"} & {path.name for path in folder.iterdir()}


def test_a_cache_works_under_any_name(folder):
    assert run_in(folder, *PRETRAIN, "--output", "run", "--cache", f"{ODD}/cache").returncode == 0


def test_what_else_lies_in_a_folder_may_have_any_name(folder):
    done = run_in(folder, *PREP, "tree", "fall11-p", "--output", "table.parquet", fork=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_curves_of_a_run_with_any_name_are_drawn(folder):
    (folder / ODD / "metrics.csv").write_text("step,epoch,split,loss\n1,1,train,2.0\n2,2,train,1.0\n")
    done = run_in(folder, *TRAIN, "curves", ODD, "--output", "curves.png", fork=False)
    assert (done.returncode, done.stderr) == (0, b"")
