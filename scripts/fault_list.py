"""The list of small faults that the tests are tried on, and what the mutation tool makes of a module.

A fault is named by its module, its line's text, the tool's operator and a count, so that it stays the same fault while
lines move. tests/faults.csv is the list; tests/faults.toml says how many faults each module has and which tests see to
it. `make mutate-list` brings the list up to date: see docs/testing.md.
"""

import ast
import csv
import random
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "faults.csv"
TABLE = ROOT / "tests" / "faults.toml"

Position = tuple[int, int]
"""Line, from 1, and character within it, from 0."""

_GUARDS = {"frozen", "eq", "strict", "slots"}  # keywords that only guard against mistakes of ours
_CRASHING = (
    "dataclass",
    "property",
    "staticmethod",
    "classmethod",
    "contextmanager",
)  # decorators whose loss none misses


@dataclass(frozen=True)
class Fault:
    """One small change of a line: a row of the list."""

    module: str
    """Path below the root."""
    line: str
    """The line that changes, without its indentation."""
    operator: str
    """What the tool does to it, by the tool's name."""
    count: int
    """Which of the module's changes with this line and operator, from 0."""
    harmless: str = ""
    """Why no test can notice it; empty if one has to."""


@dataclass(frozen=True)
class Mutant:
    """A fault with what the tool needs to plant it."""

    fault: Fault
    occurrence: int
    """Which of the operator's places in the module, from 0."""
    start: Position
    end: Position


@dataclass(frozen=True)
class Module:
    """A row of the table: how a module is tried."""

    faults: int
    """How many of its faults are in the list."""
    tests: list[str]
    """Arguments for pytest; the fastest tests first."""


def read_table() -> dict[str, Module]:
    """Return what tests/faults.toml says of each module, by path below the root."""
    return {name: Module(**row) for name, row in tomllib.loads(TABLE.read_text(encoding="utf-8")).items()}


def read_list() -> list[Fault]:
    """Return the rows of tests/faults.csv."""
    with LIST.open(encoding="utf-8", newline="") as file:
        return [Fault(**row | {"count": int(row["count"])}) for row in csv.DictReader(file)]


def write_list(faults: list[Fault]) -> None:
    """Write tests/faults.csv."""
    with LIST.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Fault))
        writer.writerows(astuple(fault) for fault in faults)


def mutants(path: Path, module: str) -> list[Mutant]:
    """Return every change that the tool can make to a module and that a test could notice, in the tool's order.

    Left out are annotations, messages, and the like: see `exempt_parts`.

    Args:
        path: the module's file.
        module: what to call it in the list.
    """
    source = path.read_text(encoding="utf-8")
    lines, spans = source.splitlines(), list(exempt_spans(source))
    with use_db(":memory:", WorkDB.Mode.create) as database:
        init([path], database, {})
        (changes,) = zip(*(item.mutations for item in database.work_items), strict=True)
    found, seen = [], Counter[tuple[str, str]]()
    for change in sorted(changes, key=lambda change: (change.operator_name, change.occurrence)):
        if any(begin <= change.start_pos < end for begin, end in spans):
            continue
        (row, column), operator = change.start_pos, change.operator_name
        line = lines[row - 1].strip()
        if operator == "core/RemoveDecorator" and line.lstrip("@").startswith(_CRASHING):
            continue
        if lines[row - 1][column:].startswith("*,"):  # the tool takes the star of a signature for a product
            continue
        fault = Fault(module=module, line=line, operator=operator, count=seen[line, operator])
        found.append(Mutant(fault=fault, occurrence=change.occurrence, start=change.start_pos, end=change.end_pos))
        seen[line, operator] += 1
    return found


def exempt_spans(source: str) -> Iterator[tuple[Position, Position]]:
    """Yield where no fault is planted: begin, and end, which is no more part of it."""
    lines = [line.encode() for line in source.splitlines()]

    def at(line: int | None, byte: int | None) -> Position:
        assert line is not None
        return line, len(lines[line - 1][:byte].decode())

    for node in ast.walk(ast.parse(source)):
        for part in exempt_parts(node):
            yield at(part.lineno, part.col_offset), at(part.end_lineno, part.end_col_offset)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and is_name(node.right):
            yield at(node.left.end_lineno, node.left.end_col_offset), at(node.right.lineno, node.right.col_offset)


def is_name(operand: ast.expr) -> bool:
    """Return whether an operand of `/` is the name of a file: then any other operator would only be an error."""
    match operand:
        case ast.JoinedStr() | ast.Constant(value=str()):
            return True
        case ast.Name(id=name):
            return name.isupper() or name in ("name", "path", "below")
    return False


def exempt_parts(node: ast.AST) -> Iterator[ast.expr | ast.stmt | ast.keyword]:
    """Yield annotations, unions of types, messages, and keywords that only guard against mistakes of ours."""
    match node:
        case ast.Raise() | ast.JoinedStr():
            yield node
        case ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation):
            yield annotation
        case ast.FunctionDef(returns=ast.expr() as returns):
            yield returns
        case ast.Module():
            yield from (each for each in node.body if isinstance(each, ast.Assign) and is_union(each.value))
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
            yield kinds
        case ast.keyword(arg=name) if name in _GUARDS:
            yield node


def is_union(value: ast.expr) -> bool:
    """Return whether an expression joins types, as in `int | None`."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
        return is_union(value.left) and is_union(value.right)
    return isinstance(value, ast.Name | ast.Subscript | ast.Constant)


def sample(module: str, count: int, kept: list[Fault]) -> list[Fault]:
    """Return that many of a module's faults, in the order of its lines: those kept, then some drawn by a seed.

    The draw takes places, not changes: a comparison can be changed in a dozen ways, a number in two.
    """
    places: dict[Position, list[Mutant]] = {}
    for mutant in mutants(ROOT / module, module):
        places.setdefault(mutant.start, []).append(mutant)
    wanted = {key_of(fault): fault for fault in kept}
    taken = {place: [each for each in found if key_of(each.fault) in wanted] for place, found in places.items()}
    draw = random.Random(module)  # noqa: S311 (nothing secret)
    order = draw.sample(sorted(places), len(places))
    chosen = [mutant for place in order for mutant in taken[place]][:count]
    for place in order:
        changes = draw.sample(places[place], len(places[place]))
        if len(chosen) < count and not taken[place]:
            chosen += [mutant for mutant in changes if is_python(mutant)][:1]
    chosen.sort(key=lambda mutant: (mutant.start, mutant.fault.operator))
    return [wanted.get(key_of(mutant.fault), mutant.fault) for mutant in chosen]


def is_python(mutant: Mutant) -> bool:
    """Return whether what the tool writes can be parsed: it takes the stars of an unpacking for operators."""
    source = (ROOT / mutant.fault.module).read_text(encoding="utf-8")
    try:
        ast.parse(mutate_code(source, get_operator(mutant.fault.operator)(), mutant.occurrence))
    except SyntaxError:
        return False
    return True


def key_of(fault: Fault) -> tuple[str, str, int]:
    """Return what names a fault within its module."""
    return fault.line, fault.operator, fault.count


def renew() -> Iterator[str]:
    """Bring the list up to date with the code and the table; yield a line for each row that went or came."""
    old, new = read_list() if LIST.exists() else [], []
    for module, row in read_table().items():
        new += sample(module, row.faults, [fault for fault in old if fault.module == module])
    write_list(new)
    yield from (f"gone  {fault.module}: {fault.line}  ({fault.operator})" for fault in old if fault not in new)
    yield from (f"new   {fault.module}: {fault.line}  ({fault.operator})" for fault in new if fault not in old)
    yield f"{len(new)} faults in {len({fault.module for fault in new})} modules"
