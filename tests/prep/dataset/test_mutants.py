"""Mutants of every file that a command reads: each ends in a result or in one line, soon and in bounded memory."""

import shutil
from pathlib import Path

import mutants
import pytest
import watched
from mutants import KINDS, try_mutants


@pytest.fixture(scope="module")
def pristine(dataset, tmp_path_factory):
    """The small dump, its work folder and its dataset."""
    folder = tmp_path_factory.mktemp("pristine")
    shutil.copy(dataset.raw, folder / "raw.tar")
    for part in ("work", "out"):
        shutil.copytree(getattr(dataset, part), folder / part)
    return folder


def test_some_mutants_of_each_kind(pristine, tmp_path):
    try_mutants(pristine, tmp_path, 0, dict.fromkeys(KINDS, 5))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_mutants_of_each_kind(pristine, tmp_path, kind):
    try_mutants(pristine, tmp_path, 1, {kind: 1000})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "line"),
    [
        ("time.sleep(600)", " hangs"),
        ("raise ValueError('odd')", r"(?s:.*)ValueError: odd"),
        ("calls.append(bytearray(500 << 20))", r"(?s:.*)it takes too much memory"),
    ],
)
def test_what_a_mutant_does_wrong_is_told_with_its_number_and_seed(pristine, tmp_path, monkeypatch, harm, line):
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys\nsys.path.insert(0, {str(Path(mutants.__file__).parent)!r})\n"
        "import time, mutants\ncalls = []\n"
        f"def use(bench, draw):\n    calls.append(bytes)\n    if len(calls) == 3: {harm}\n"
        "mutants.KINDS['plan'] = ('work/parts/plan.json', use)\nmutants.main()\n"
    )
    monkeypatch.setattr(mutants, "__file__", str(program))
    monkeypatch.setattr(watched, "PATIENCE", 30)
    with pytest.raises(AssertionError, match=f"seed 7: plan=1:2 work/parts/plan.json{line}"):
        try_mutants(pristine, tmp_path / "scratch", 7, {"plan": 3})
