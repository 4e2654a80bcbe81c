"""The list of faults that `make mutate` plants, and the table of tests that have to notice them, fit the project."""

import csv
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
