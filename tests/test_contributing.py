"""The first change that CONTRIBUTING.md walks through fits the code, and works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("prep", "shards_manifest", "train", "tree", "tests", "docs", "pyproject.toml")
TESTS = ("tests/shards_manifest/verify/test_verify.py", "tests/prep/dataset/test_verify_command.py")


def steps() -> list[tuple[str, str]]:
    """Return the file and the block of each step."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(r"^\*\*\d\. .*?`(\S+/\S+)`.*?^```(?:diff|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def applied(content: str, block: str) -> str:
    """Return a file's content with a step taken: the new line below the one that a diff shows, or code at the end."""
    if block.startswith("def "):
        return f"{content}\n\n{block}"
    before, after = (line[1:] for line in block.splitlines())
    assert content.count(f"{before}\n") == 1, before
    return content.replace(f"{before}\n", f"{before}\n{after}\n")


@pytest.mark.parametrize(("path", "block"), steps(), ids=lambda value: value if "\n" not in value else "")
def test_each_step_fits_its_file(path, block):
    assert applied((ROOT / path).read_text(encoding="utf-8"), block)


def test_there_are_five_steps():
    assert len(steps()) == 5


@pytest.mark.slow
def test_the_first_change_works(tmp_path):
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    packages = tmp_path / "packages" / "in21k"
    packages.mkdir(parents=True)
    for name in COPIED[:4]:
        (packages / name).symlink_to(tmp_path / name)
    sample, *rest = steps()
    assert run(tmp_path, [sample], "-k", "E108").returncode == 1
    assert run(tmp_path, rest).returncode == 0


def run(folder: Path, taken: list[tuple[str, str]], *options: str) -> subprocess.CompletedProcess[bytes]:
    """Take some steps in a copy of the project and run the tests of verify there."""
    for path, block in taken:
        file = folder / path
        file.write_text(applied(file.read_text(encoding="utf-8"), block), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(folder / "packages")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, *options]
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True)
