"""Names from outside are printed escaped: a terminal obeys none of them, and a row stays a row."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import warm
from commands import PREP, one_line, prep
from dumps import images_of, jpeg, make_dump

from in21k.shards_manifest.errors import escaped
from in21k.train.cli.predictions import _lines
from in21k.train.use.guesses import Prediction

EVIL = "a\x1b[2J\x9b\u202e\x07\rb"
SHOWN = r"a\x1b[2J\x9b\u202e\x07\rb"


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.replace("\t", "").split("\n"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (EVIL, SHOWN),
        ("two\nlines\tand a tab", r"two\nlines\tand a tab"),
        ("Bäume\u00a0子 🐕.JPEG", "Bäume\u00a0子 🐕.JPEG"),
        (os.fsdecode(b"B\xe4ume"), r"B\xe4ume"),
        ("\ud800 \u2028 \u200f \ufeff", r"\ud800 \u2028 \u200f \ufeff"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(name, shown):
    assert escaped(name) == shown


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A dataset of a dump whose file names are hostile: one is of no image, one is of no readable image."""
    folder = tmp_path_factory.mktemp("evil")
    files = [*images_of("n02084071", 6), (f"x/{EVIL}\n.txt", b"text"), (f"{EVIL}\t.JPEG", jpeg()[:300])]
    raw = make_dump(folder / "raw.tar", {"n02084071": files})
    options = ("--min-images", 1, "--val-per-class", 1, "--size", 16, "--workers", 1)
    run = prep("run", raw, folder / "work", folder / "out", *options)
    assert run.returncode == 0, run.stderr
    return folder


def test_a_reject_is_one_line_of_four_fields(prepared):
    run = prep("rejects", prepared / "out")
    assert is_harmless(run.stdout), run.stdout
    rows = [line.split("\t") for line in run.stdout.split("\n") if "\t" in line]
    assert sorted(row[2] for row in rows) == [rf"{SHOWN}\t.JPEG", rf"x/{SHOWN}\n.txt"]
    assert {len(row) for row in rows} == {4}


def test_findings_name_files_escaped(prepared, tmp_path):
    out = shutil.copytree(prepared / "out", tmp_path / "out")
    (out / "train" / f"{EVIL}\n.tar").write_bytes(b"")
    run = prep("verify", out)
    assert run.returncode == 1
    assert rf"train/{SHOWN}\n.tar" in run.stdout
    assert is_harmless(run.stdout), run.stdout


@pytest.mark.parametrize("options", [(), ("--debug",)])
def test_errors_name_files_escaped(tmp_path, options):
    run = prep(*options, "inspect", tmp_path / EVIL)
    assert run.returncode == 1
    assert is_harmless(run.stderr), run.stderr
    assert r"a\x1b[2J" in run.stderr


def test_the_trainer_escapes_names_too(tmp_path):
    command = warm.python("-m", "in21k.train", "curves", tmp_path / EVIL)
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert r"a\x1b[2J" in run.stderr
    assert is_harmless(run.stderr), run.stderr
    lines = "\n".join(_lines(Prediction(image=EVIL, labels=(f"{EVIL}\n",))))
    assert lines == rf"{SHOWN}: {SHOWN}\n"


def test_a_locale_without_unicode_gets_escapes_instead_of_a_traceback(prepared):
    ascii_only = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    named = prepared / "Bäume 子"
    run = subprocess.run([*PREP, "inspect", named], capture_output=True, timeout=120, check=False, env=ascii_only)
    assert run.returncode == 1
    assert b"Traceback" not in run.stderr
    assert run.stderr.isascii()


def test_a_folder_with_undecodable_names_is_one_line(tmp_path):
    folder = tmp_path / os.fsdecode(b"B\xe4ume")
    assert r"B\xe4ume" in one_line(prep("verify", folder))
    folder.mkdir()
    assert r"B\xe4ume" in one_line(prep("filter", folder, tmp_path / "work"))
