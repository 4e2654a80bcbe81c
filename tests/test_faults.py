"""The list of faults that `make mutate` plants, and the table of tests that have to notice them, fit the project."""

import csv
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
TABLE = tomllib.loads((TESTS / "faults.toml").read_text(encoding="utf-8"))


def listed() -> list[dict[str, str]]:
    with (TESTS / "faults.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("module", TABLE)
def test_each_module_and_its_tests_exist(module):
    assert (ROOT / module).is_file()
    assert TABLE[module]["tests"]
    assert all((ROOT / test.partition("::")[0]).exists() for test in TABLE[module]["tests"])


def test_the_list_holds_as_many_faults_of_each_module_as_the_table_says():
    counted = Counter(fault["module"] for fault in listed())
    assert counted == {module: row["faults"] for module, row in TABLE.items()}, "run make mutate-list"
    assert counted.total() >= 150


def test_no_fault_is_listed_twice_and_few_are_called_harmless():
    faults = listed()
    assert len({(each["module"], each["line"], each["operator"], each["count"]) for each in faults}) == len(faults)
    assert sum(bool(each["harmless"]) for each in faults) <= 0.05 * len(faults)


@pytest.mark.slow
def test_a_run_that_hangs_ends_with_whoever_asked_for_it(tmp_path):
    hangs = tmp_path / "test_hangs.py"
    hangs.write_text(
        "import time\n\n\ndef test_it():\n    while True:\n        try:\n            time.sleep(9)\n"
        "        except BaseException:\n            pass\n"
    )
    (tmp_path / "test_passes.py").write_text("def test_it():\n    pass\n")
    ask = [sys.executable, ROOT / "scripts/pytest_server.py", tmp_path / "socket"]
    server = subprocess.Popen(ask, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run([*ask, "-p", "no:cacheprovider", hangs], timeout=5, check=False, stdout=subprocess.DEVNULL)
        assert (
            subprocess.run([*ask, "-p", "no:cacheprovider", tmp_path / "test_passes.py"], check=False).returncode == 0
        )
    finally:
        server.kill()
        server.wait()
