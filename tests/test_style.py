"""The house style, as far as it can be counted: documented, typed, short."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "prep", "shards_manifest", "train", "tree")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
SMALL = 30
"""Lines under which a file should have a reason to stand alone."""

Function = tuple[str, ast.FunctionDef]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def definitions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef, bool]]:
    """Yield each function and class of a file with its place and whether it is public; those in functions are not."""

    def visit(node: ast.AST, public: bool) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                is_public = public and not child.name.startswith("_")
                yield f"{name_of(path)}:{child.lineno} {child.name}", child, is_public
                yield from visit(child, is_public and isinstance(child, ast.ClassDef))

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), public=True)


def functions() -> list[Function]:
    return [
        (place, node) for path in FILES for place, node, _ in definitions(path) if isinstance(node, ast.FunctionDef)
    ]


def parameters(function: ast.FunctionDef) -> list[ast.arg]:
    given = function.args
    listed = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return [argument for argument in listed if argument.arg not in ("self", "cls")]


def lines(node: ast.FunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_everything_public_is_documented():
    silent = [
        place
        for path in FILES
        for place, node, public in definitions(path)
        if public and not ast.get_docstring(node) and "overload" not in map(ast.unparse, node.decorator_list)
    ]
    silent += [name_of(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def test_everything_is_typed():
    untyped = [
        place
        for place, node in functions()
        if (node.returns is None and node.name != "__init__")
        or any(each.annotation is None for each in parameters(node))
    ]
    assert untyped == []


def test_functions_are_short():
    lengths = sorted((lines(node), place) for place, node in functions())
    assert [found for found in lengths if found[0] > 50] == []
    assert sum(length < 25 for length, _ in lengths) >= 0.9 * len(lengths)


def test_functions_take_few_parameters():
    many = [place for place, node in functions() if "/cli/" not in place and len(parameters(node)) > 7]
    assert many == []


def test_files_hold_one_concept_each():
    lengths = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in FILES
        if path.name not in ("__init__.py", "__main__.py")
    }
    assert {name: length for name, length in lengths.items() if length > 300} == {}
    assert sum(length < SMALL for length in lengths.values()) <= 8


@pytest.mark.parametrize(
    ("source", "parameters_found"),
    [("def f(a, *, b, **c): ...", 3), ("class A:\n    def f(self, a, /, *b): ...", 2)],
)
def test_parameters_are_counted(source, parameters_found):
    (function,) = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    assert len(parameters(function)) == parameters_found


def test_test_files_have_names_of_their_own():
    """pytest takes two files of one name for one module."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
