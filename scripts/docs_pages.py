"""Writes the parts of docs/ that follow from the code: the folder tree and the import order of docs/architecture.md.

Run `python scripts/docs_pages.py` after a folder, a file or a caption has changed; a test says when that was forgotten.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PACKAGES = ("tree", "shards_manifest", "prep", "train")
"""From the ground up."""

_WIDTH = 118
_CAPTION_COLUMN = 22


def import_order() -> dict[str, list[list[str]]]:
    """Return each package's rooms from the ground up, as tests/test_layout.py holds them."""
    module = ast.parse((ROOT / "tests" / "test_layout.py").read_text(encoding="utf-8"))
    (value,) = [
        node.value for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER"
    ]
    order: dict[str, list[list[str]]] = ast.literal_eval(value)
    return order


def caption(folder: Path) -> str:
    """Return what a folder's `__init__` says that it is."""
    return ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""


def tree_lines(folder: Path, rooms: list[str], depth: int = 0) -> Iterator[str]:
    """Yield a folder with its caption, the names of its files, and then the same of each room in it.

    Args:
        folder: a package, or a room of one.
        rooms: names of folders in the order in which they are to come; others follow by name.
        depth: folders above, within the package.
    """
    indent = "  " * depth
    captions = textwrap.wrap(caption(folder), _WIDTH - _CAPTION_COLUMN)
    yield f"{indent}{folder.name}/".ljust(_CAPTION_COLUMN) + captions[0]
    yield from (" " * _CAPTION_COLUMN + line for line in captions[1:])
    files = sorted(path for path in folder.iterdir() if path.suffix in (".py", ".toml") and path.stem != "__init__")
    names = " ".join(path.stem if path.suffix == ".py" else path.name for path in files if path.stem != "__main__")
    yield from textwrap.wrap(names, _WIDTH, initial_indent=f"{indent}    ", subsequent_indent=f"{indent}    ")
    folders = [path for path in folder.iterdir() if (path / "__init__.py").exists()]
    place = {name: at for at, name in enumerate(rooms)}
    for inner in sorted(folders, key=lambda path: (place.get(path.name, len(place)), path.name)):
        yield from tree_lines(inner, [], depth + 1)


def folder_tree() -> str:
    """Return the four packages as a text block."""
    order = {name: [room for line in lines for room in line] for name, lines in import_order().items()}
    blocks = ["\n".join(tree_lines(ROOT / name, order[name])) for name in PACKAGES]
    return "```text\n" + "\n\n".join(blocks) + "\n```"


def order_block() -> str:
    """Return the import order of the packages that have rooms, lowest line first."""
    blocks = [
        "\n".join([f"{name}", *(f"  {at}  " + ", ".join(line) for at, line in enumerate(lines, 1))])
        for name, lines in import_order().items()
        if lines
    ]
    return "```text\n" + "\n\n".join(blocks) + "\n```"


def with_blocks(text: str, blocks: dict[str, str]) -> str:
    """Return a page with what stands between each `<!-- name -->` and `<!-- /name -->` replaced."""
    for name, block in blocks.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        text, found = re.subn(
            rf"{begin}.*?{end}", lambda _, b=begin, e=end, t=block: f"{b}\n\n{t}\n\n{e}", text, flags=re.DOTALL
        )
        if not found:
            raise ValueError(f"the page has no {begin} … {end}")
    return text


def pages() -> dict[Path, str]:
    """Return the pages as they ought to be."""
    architecture = ARCHITECTURE.read_text(encoding="utf-8")
    return {ARCHITECTURE: with_blocks(architecture, {"tree": folder_tree(), "import order": order_block()})}


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
