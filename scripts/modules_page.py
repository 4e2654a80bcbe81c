"""Prints a page of all modules with the first paragraph of their docstrings; `make docs` puts it into the site."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tree", "shards_manifest", "prep", "train", "api")
"""From the ground up; the last is in21k itself."""


def summary(file: Path) -> str:
    """Return the first paragraph of a module's docstring on one line, for a cell of a table."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")


def lines(folder: Path) -> Iterator[str]:
    """Yield the Markdown of a folder and of those in it."""
    name = folder.relative_to(ROOT).as_posix()
    yield from (f"##{'#' * name.count('/')} {name}", "", summary(folder / "__init__.py"), "")
    files = [file for file in sorted(folder.glob("*.py")) if file.stem != "__init__"]
    if files:
        yield from ("| file | |", "|---|---|")
        yield from (f"| `{file.name}` | {summary(file)} |" for file in files)
        yield ""
    for inner in sorted(folder.glob("*/__init__.py")):
        yield from lines(inner.parent)


if __name__ == "__main__":
    print("\n".join(["# Every module", "", *(line for package in PACKAGES for line in lines(ROOT / package))]))
