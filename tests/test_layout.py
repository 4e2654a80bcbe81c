"""The architecture as docs/architecture.md draws it: who may import whom, room by room, and no circle anywhere."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Each package's rooms (its folders, and the files at its root) from the ground up. A room imports only from the lines
# that stand before its own; rooms on one line never import each other.
ORDER = {
    "shards_manifest": [
        ["errors", "tar_sparse", "stop_signals"],
        ["tar", "key_hashes", "images", "sizes", "fork_server"],
        ["storage"],
        ["json_file", "parquet_table", "command"],
        ["manifest"],
        ["sample_table", "prediction_tables", "datasheet", "markers", "tables"],
        ["sidecars", "key_search"],
        ["verify"],
    ],
    "prep": [
        ["errors", "records", "without_pandas"],
        ["tables", "executor", "bucket_sort", "near_classes"],
        ["raw", "images", "demo", "hierarchy"],
        ["duplicates"],
        ["stages"],
        ["dataset"],
        ["cli"],
    ],
    "train": [
        ["errors", "arrays"],
        ["config"],
        ["recipes", "device", "images", "data"],
        ["video"],
        ["stream"],
        ["model"],
        ["losses"],
        ["run", "answers"],
        ["evaluation"],
        ["trainer", "use"],
        ["transfer", "publish", "embed"],
        ["neighbors", "detection"],
        ["retrieval"],
        ["benchmark"],
        ["cli"],
    ],
    "tree": [],  # flat: any order that is no circle
    "api": [],  # in21k itself, likewise
}
NEVER = {  # beyond the order
    ("train", "images"): {"config"},
    ("train", "data"): {"config"},
    ("train", "use"): {"evaluation"},
}
FOREIGN = {  # what the modules of each package may not import at all
    "api": {"in21k.prep", "in21k.train.cli"},
    "prep": {"in21k.train", "torch"},
    "shards_manifest": {"in21k.prep", "in21k.train", "in21k.tree", "torch"},
    "train": {"in21k.prep"},
    "tree": {"in21k.prep", "in21k.shards_manifest", "in21k.train", "torch"},
}


def imported(source: str) -> set[str]:
    """Return the absolute names that a module's source imports, those within functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def room_of(name: str) -> str:
    """Return the room of a name such as in21k.train.model.network."""
    return [*name.split("."), "", ""][2]


def violations(package: str, module: str, names: set[str]) -> Iterator[str]:
    """Yield a line for each import of a module that the order forbids."""
    for name in names:
        if any(is_within(name, foreign) for foreign in FOREIGN[package]):
            yield f"{module} imports {name}"
    height = {room: at for at, line in enumerate(ORDER[package]) for room in line}
    room = room_of(module)
    if not height or room in ("", "__init__", "__main__"):
        return
    for name in names:
        other = room_of(name)
        if not is_within(name, f"in21k.{package}") or other == room:
            continue
        if height[other] >= height[room] or other in NEVER.get((package, room), set()):
            yield f"{module} imports {name}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("in21k", *(parts[1:] if parts[0] == "api" else parts))).removesuffix(".__init__")


def sources(package: str) -> dict[str, str]:
    return {module_name(path): path.read_text(encoding="utf-8") for path in sorted((ROOT / package).rglob("*.py"))}


@pytest.mark.parametrize("package", ORDER)
def test_rooms_import_only_what_stands_before_them(package):
    broken = [
        line for module, source in sources(package).items() for line in violations(package, module, imported(source))
    ]
    assert broken == []


@pytest.mark.parametrize("package", sorted(set(ORDER) - {"api"}))
def test_the_packages_do_not_import_what_stands_above_them_all(package):
    above = set(sources("api")) - {"in21k"} | {"in21k.__version__"}
    for module, source in sources(package).items():
        assert not {name for name in imported(source) for found in above if is_within(name, found)}, module


@pytest.mark.parametrize("package", ["prep", "shards_manifest", "train"])
def test_every_room_has_a_place_in_the_order(package):
    rooms = {room_of(module) for module in sources(package)} - {"", "__init__", "__main__"}
    assert rooms == {room for line in ORDER[package] for room in line}


def test_no_modules_import_each_other_in_a_circle():
    modules = {module: source for package in ORDER for module, source in sources(package).items()}
    graph = {
        module: {
            found
            for name in imported(source)
            for found in (name, name.rpartition(".")[0])
            if found in modules and found != module
        }
        for module, source in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize(
    ("package", "module", "source"),
    [
        ("train", "in21k.train.model.network", "from in21k.train.trainer.loop import pretrain"),
        ("train", "in21k.train.losses.schemes", "def late():\n    from in21k.train.run import checkpoint"),
        ("train", "in21k.train.data.open_data", "import in21k.train.config.settings"),
        ("train", "in21k.train.use.predict", "from in21k.train.trainer.session import Session"),
        ("prep", "in21k.prep.raw.open", "from in21k.prep.images import decode"),
        ("prep", "in21k.prep.stages.shard", "from in21k.train.errors import TrainError"),
        ("tree", "in21k.tree.table", "def late():\n    import torch.nn"),
        ("api", "in21k.dataset", "from in21k.prep.errors import PrepError"),
    ],
)
def test_the_order_forbids_what_runs_back_up(package, module, source):
    assert len(list(violations(package, module, imported(source)))) == 1


SHARED_BY_COMMAND_LINES = "in21k.shards_manifest.command."


def test_only_the_command_lines_import_click():
    importers = {
        module
        for package in ORDER
        for module, source in sources(package).items()
        if any(is_within(name, "click") for name in imported(source))
    }
    elsewhere = {name for name in importers if ".cli." not in name and not name.endswith("__main__")}
    assert all(name.startswith(SHARED_BY_COMMAND_LINES) for name in elsewhere), elsewhere


@pytest.mark.parametrize("package", ["prep", "train", "shards_manifest"])
def test_what_imports_click_is_imported_by_command_lines_alone(package):
    """What command lines share may import click, so nothing but they may import those modules."""
    shared = {
        module
        for module, source in sources("shards_manifest").items()
        if any(is_within(name, "click") for name in imported(source))
    }
    assert shared
    for module, source in sources(package).items():
        used = {found for name in imported(source) for found in shared if is_within(name, found)}
        assert not used or ".cli." in module or module in shared, (module, used)


def test_every_folder_has_a_caption_of_one_line():
    for package in ORDER:
        for path in (ROOT / package).rglob("__init__.py"):
            caption = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert caption is not None, path
            assert "\n" not in caption, path
