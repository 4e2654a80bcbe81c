"""Writes what follows from the code in docs/: folder tree and import order, settings, keys of JSON, planted faults.

Run `python scripts/docs_pages.py` after a file, a caption, a setting, a recipe or tests/faults.csv has changed; a test
says when that was forgotten.
"""

import ast
import csv
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from in21k.shards_manifest.command.declared import PROGRAMS, columns_of, fact_of, keys_of
from in21k.shards_manifest.command.facts import Kind
from in21k.train.config.settings import SETTINGS, Config
from in21k.train.recipes import open_recipe, recipe_names

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
JSON_PAGE = ROOT / "docs" / "json.md"
JSON_SCHEMA = ROOT / "docs" / "json.schema.json"
TESTING = ROOT / "docs" / "testing.md"
FAULTS = ROOT / "tests" / "faults.csv"
PACKAGES = ("tree", "shards_manifest", "prep", "train", "api")
"""From the ground up; the last is in21k itself."""

_WIDTH = 84  # what the site shows without scrolling
_CAPTION_COLUMN = 20


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
    """Return the packages as a text block."""
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


def shown(value: Any) -> str:
    """Return a setting's value as TOML has it, for a cell of a table."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value != "" else "none"


def section_table(name: str) -> str:
    """Return the table of a section's settings."""
    defaults = getattr(Config(), name)
    rows = [
        f"| `{key}` | {shown(getattr(defaults, key.partition('.')[2]))} | {setting.takes} | {setting.help} |"
        for key, setting in SETTINGS.items()
        if key.startswith(f"{name}.")
    ]
    return "\n".join(["| setting | default | takes | |", "|---|---|---|---|", *rows])


def recipe_table() -> str:
    """Return what each recipe sets, where it differs from the defaults."""
    recipes = {name: open_recipe(name).config.to_dict() for name in recipe_names()}
    defaults = Config().to_dict()
    rows = []
    for key in SETTINGS:
        section, _, name = key.partition(".")
        default = defaults[section][name]
        values = [recipe[section][name] for recipe in recipes.values()]
        if any(value != default for value in values):
            cells = ["" if value == default else shown(value) for value in values]
            rows.append(f"| `{key}` | {shown(default)} | {' | '.join(cells)} |")
    links = [f"[{name}](../train/recipes/{name}.toml)" for name in recipes]
    return "\n".join([f"| | default | {' | '.join(links)} |", "|---" * (len(links) + 2) + "|", *rows])


def settings_page() -> str:
    """Return the page of all settings and recipes."""
    parts = [
        "# Settings",
        "Written by `scripts/docs_pages.py` from `train/config/settings.py` and `train/recipes/`.",
        "`--recipe` names a file of settings, and `--set` changes any of them; `in21k-train settings` lists them, too:",
        "    in21k-train pretrain imagenet21k/ --model resnet50 --pretrained --set optim.lr=2e-4 --output runs/r50",
        "A run keeps its resolved settings in `config.json`, and so does each of its checkpoints.",
    ]
    for section in fields(Config):
        summary = (type(getattr(Config(), section.name)).__doc__ or "").splitlines()[0]
        parts += [f"## {section.name}", summary, section_table(section.name)]
    parts += [
        "## The recipes",
        "Settings in which a recipe differs from the defaults; each file says where its values are from.",
        recipe_table(),
    ]
    return "\n\n".join(parts) + "\n"


def read_faults() -> list[dict[str, str]]:
    """Return the rows of tests/faults.csv; scripts/fault_list.py says what they mean."""
    with FAULTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fault_table() -> str:
    """Return how many faults are planted in each module, how many are noticed, and how many are harmless."""
    faults = read_faults()
    planted = Counter(fault["module"] for fault in faults)
    harmless = Counter(fault["module"] for fault in faults if fault["harmless"])
    rows = [
        f"| {name} | {planted} | {planted - harmless} | {harmless} |"
        for name, planted, harmless in (
            *((f"`{module}`", planted[module], harmless[module]) for module in planted),
            ("**all**", planted.total(), harmless.total()),
        )
    ]
    return "\n".join(["| module | planted | noticed | harmless |", "|---|---|---|---|", *rows])


def harmless_list() -> str:
    """Return the faults that no test can notice, each with its reason."""
    argued = [fault for fault in read_faults() if fault["harmless"]]
    return "\n".join(
        f"- `{fault['module']}`, `{fault['line']}`, {fault['operator'].removeprefix('core/')}: {fault['harmless']}"
        for fault in argued
    )


_ABOUT_JSON = (
    "With `--json`, a command prints one object on one line: `command` first, then the keys below, of which it leaves "
    "out what does not apply. Names are in snake_case; `_bytes` and `_seconds` say their unit, and shares are 0 to 1. "
    "Errors stay a line on stderr, where notes and progress are, too; the exit status says whether there was one. "
    "[json.schema.json](json.schema.json) says the same as a JSON Schema. What `predict` prints is in "
    "[transfer](transfer.md)."
)


def json_page() -> str:
    """Return the page of what `--json` prints."""
    kinds = [f"| `{kind}` | {_TYPES[kind][0]} |" for kind in Kind]
    parts = [
        "# JSON of the commands",
        "Written by `scripts/docs_pages.py` from `shards_manifest/command/prep_facts.py` and `train_facts.py`.",
        _ABOUT_JSON,
        "    in21k-train evaluate imagenet21k/ --checkpoint runs/r50 --json",
        "| kind | in JSON |\n|---|---|\n" + "\n".join(kinds),
        "Any value may be null where there is none, such as a loss that is not measured.",
    ]
    for program, commands in PROGRAMS.items():
        parts.append(f"## {program}")
        for keys in dict.fromkeys(commands.values()):
            alike = [command for command in commands if commands[command] == keys]
            rows = [_key_row(alike[0], key) for key in keys_of(alike[0])]
            parts += [f"### {', '.join(alike)}", "| key | kind | |\n|---|---|---|\n" + "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def _key_row(command: str, key: str) -> str:
    fact = fact_of(command, key)
    columns = ", ".join(f"`{column}` ({fact_of(key, column).kind})" for column in columns_of(command, key))
    return f"| `{key}` | {fact.kind} | {fact.label}{f': {columns}' if columns else ''} |"


def json_schema() -> str:
    """Return the JSON Schema of what `--json` prints."""
    defined = {kind.value: _TYPES[kind][1] for kind in Kind}
    commands = [
        {
            "title": f"{program} {command}",
            "type": "object",
            "properties": {
                "command": {"const": command},
                **{key: _key_schema(command, key) for key in keys_of(command)},
            },
            "required": ["command"],
            "additionalProperties": command == "inspect",  # counts of datasets that other versions made
        }
        for program, keys in PROGRAMS.items()
        for command in keys
    ]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": defined}
    lines = ",\n".join(map(json.dumps, commands))  # a line per command
    return f'{json.dumps(head)[:-1]}, "oneOf": [\n{lines}\n]}}\n'


def _key_schema(command: str, key: str) -> dict[str, Any]:
    columns = {column: {"$ref": f"#/$defs/{fact_of(key, column).kind}"} for column in columns_of(command, key)}
    kind = {"$ref": f"#/$defs/{fact_of(command, key).kind}"}
    return kind | {"items": {"properties": columns, "additionalProperties": False}} if columns else kind


_NUMBER, _WHOLE = {"type": ["number", "null"]}, {"type": ["integer", "null"]}
_TYPES: dict[Kind, tuple[str, dict[str, Any]]] = {
    Kind.COUNT: ("a whole number of things", _WHOLE | {"minimum": 0}),
    Kind.NUMBER: ("a whole number that counts nothing, such as a seed", _WHOLE),
    Kind.BYTES: ("a whole number", _WHOLE | {"minimum": 0}),
    Kind.SECONDS: ("a number", _NUMBER | {"minimum": 0}),
    Kind.SHARE: ("a number from 0 to 1", _NUMBER | {"minimum": 0, "maximum": 1}),
    Kind.SCORE: ("a number", _NUMBER),
    Kind.RATE: ("a number per second", _NUMBER | {"minimum": 0}),
    Kind.TEXT: ("a text", {"type": ["string", "null"]}),
    Kind.PATH: ("a text: a path or a URI", {"type": ["string", "null"]}),
    Kind.FLAG: ("true or false", {"type": ["boolean", "null"]}),
    Kind.LEVELS: ("an object: a number by level of the hierarchy", {"type": "object", "additionalProperties": _NUMBER}),
    Kind.TEXTS: ("a list of texts", {"type": "array", "items": {"type": "string"}}),
    Kind.COUNTS: ("a list of whole numbers", {"type": "array", "items": {"type": "integer"}}),
    Kind.VALUES: ("an object whose keys are data, such as reasons", {"type": "object"}),
    Kind.ROWS: ("a list of objects", {"type": "array", "items": {"type": "object"}}),
    Kind.ANY: ("a text, a number, true or false", {}),
}
"""What a value of each kind is in JSON: in words, and as a schema."""


def pages() -> dict[Path, str]:
    """Return the pages as they ought to be."""
    architecture = ARCHITECTURE.read_text(encoding="utf-8")
    return {
        ARCHITECTURE: with_blocks(architecture, {"tree": folder_tree(), "import order": order_block()}),
        SETTINGS_PAGE: settings_page(),
        JSON_PAGE: json_page(),
        JSON_SCHEMA: json_schema(),
        TESTING: with_blocks(
            TESTING.read_text(encoding="utf-8"), {"faults": fault_table(), "harmless": harmless_list()}
        ),
    }


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
