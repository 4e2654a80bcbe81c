"""docs/architecture.md and CONTRIBUTING.md name what exists."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [page for page in (ARCHITECTURE, ROOT / "CONTRIBUTING.md") if page.exists()]
FOLDERS = "api|prep|train|tree|shards_manifest|tests|docs|scripts|bench|requirements"
PATH = re.compile(rf"(?:{FOLDERS})/[\w./-]*|mkdocs\.yml|pyproject\.toml|Makefile")
NAME = re.compile(r"_?[A-Z][A-Za-z_]+|_?[a-z]+(_[a-z]+)+")


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def paths(text: str) -> list[Path]:
    return [ROOT / word for word in quoted(text) if PATH.fullmatch(word)]


def names(text: str) -> list[str]:
    return [word for word in quoted(text) if NAME.fullmatch(word) and not PATH.fullmatch(word)]


def source(places: list[Path]) -> str:
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.py")))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, row by row."""
    section = re.split(r"^## ", ARCHITECTURE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2], flags=re.M)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [re.split(r" *\| *", line.strip("| ")) for line in lines[1:]]


def test_what_follows_from_the_code_is_up_to_date():
    for page, text in runpy.run_path(str(ROOT / "scripts" / "docs_pages.py"))["pages"]().items():
        assert page.read_text(encoding="utf-8") == text, "run: python scripts/docs_pages.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_is_named_exists(page):
    found = paths(page.read_text(encoding="utf-8"))
    assert found
    assert [path for path in found if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_that_is_named_exists(page):
    known = set(re.findall(r"\w+", source([ROOT / name for name in FOLDERS.split("|")])))
    text = page.read_text(encoding="utf-8").partition("## Glossary")[0]
    assert [name for name in names(text) if name not in known] == []


@pytest.mark.parametrize("row", rows("Where new things go"), ids=lambda row: row[0])
def test_each_table_to_extend_is_in_the_file_that_is_named_for_it(row):
    _, into, entered, *_ = row
    assert paths(into + entered)
    known = set(re.findall(r"\w+", source(paths(into + entered))))
    assert [name for name in names(entered) if name not in known] == []


def test_the_table_of_new_things_is_read():
    assert len(rows("Where new things go")) > 20
