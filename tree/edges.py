"""A hierarchy out of a CSV of child and parent, for any label set: reading it, and what can be wrong with it."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from in21k.tree.errors import TreeError
from in21k.tree.findings import Code, FindingsError, HierarchyFinding
from in21k.tree.hierarchy import ROOT, Hierarchy, build_hierarchy

HEADER = ["child", "parent"]


@dataclass(frozen=True, slots=True)
class EdgeList:
    """The edges of a label set."""

    name: str
    """The file's name, for messages."""
    nodes: tuple[str, ...]
    """All that the file names, sorted by code point."""
    parents: Mapping[str, tuple[str, ...]]
    """The parents of each child, in the file's order, without repetition."""
    findings: tuple[HierarchyFinding, ...]
    """What was found while reading."""


def read_edges(path: Path) -> EdgeList:
    """Return the edges of a CSV with the header `child,parent`; a child with an empty parent is a root.

    Raises:
        TreeError: it is no text, has another header, or no edge.
        OSError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[field.strip() for field in row] for row in csv.reader(file)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TreeError(f"{path} is no CSV of child,parent ({error})") from None
    if not rows or [field.lower() for field in rows[0]] != HEADER:
        raise TreeError(f"{path}: the first line must be child,parent")
    edges = edges_of(rows[1:], path.name)
    if not edges.nodes and not edges.findings:
        raise TreeError(f"{path} has no edge below its header")
    return edges


def read_names(path: Path) -> list[str]:
    """Return the class names of a text file, one a line; blank lines are passed over.

    Raises:
        TreeError: it is no text, or names none.
        OSError: it cannot be read.
    """
    try:
        names = [name for line in path.read_text(encoding="utf-8-sig").splitlines() if (name := line.strip())]
    except UnicodeDecodeError:
        raise TreeError(f"{path} is no text file of class names, one a line") from None
    if not names:
        raise TreeError(f"{path} names no class; write one a line")
    return names


def edges_of(rows: Sequence[Sequence[str]], name: str) -> EdgeList:
    """Return the edge list of rows of child and parent, with findings on malformed and repeated ones.

    Args:
        rows: child and parent; an empty parent makes the child a root; empty rows are passed over.
        name: where they are from, for messages.
    """
    parents: dict[str, dict[str, None]] = {}
    findings = []
    for number, row in enumerate(rows, 2):
        if not any(row):
            continue
        if len(row) != 2 or not row[0]:
            message = f"{len(row)} fields, of which the first is {row[0][:80]!r}; expected child,parent"
            findings.append(HierarchyFinding(Code.MALFORMED_ROW, f"row {number}", message))
            continue
        child, parent = row
        above = parents.setdefault(child, {})
        if parent in above:
            findings.append(HierarchyFinding(Code.REPEATED_EDGE, child, f"row {number} repeats its parent {parent!r}"))
        elif parent:
            above[parent] = None
            parents.setdefault(parent, {})
    lists = {child: tuple(above) for child, above in parents.items()}
    findings += [
        HierarchyFinding(
            Code.SEVERAL_PARENTS, child, f"{len(above)} parents, the first of them kept: {', '.join(above)}"
        )
        for child, above in lists.items()
        if len(above) > 1
    ]
    return EdgeList(name, tuple(sorted(lists)), lists, tuple(findings))


def edge_hierarchy(
    edges: EdgeList, classes: Sequence[str] | None = None
) -> tuple[Hierarchy, tuple[HierarchyFinding, ...]]:
    """Return the hierarchy of an edge list, and all that was found in it.

    Args:
        edges: child and parent; of several parents the first is kept.
        classes: the classes in order of class index, each with its nearest listed ancestor as parent; by default all
            that the edges name, sorted.

    Raises:
        FindingsError: there are cycles, malformed rows, or classes that are unknown or listed twice.
    """
    first = {child: above[0] for child, above in edges.parents.items() if above}
    findings = [*edges.findings, *_cycles(first), *_unusable(edges, classes or ())]
    if any(finding.is_error for finding in findings):
        raise FindingsError(edges.name, sorted(findings, key=lambda finding: not finding.is_error))
    hierarchy = build_hierarchy(edges.nodes if classes is None else classes, first.get)
    return hierarchy, (*findings, *_orphans(hierarchy))


def _cycles(parent: Mapping[str, str]) -> Iterator[HierarchyFinding]:
    """Yield each cycle once, beginning with its first child in the file's order."""
    done: set[str] = set()
    for start in parent:
        chain: dict[str, None] = {}
        node: str | None = start
        while node is not None and node not in done and node not in chain:
            chain[node] = None
            node = parent.get(node)
        if node is not None and node in chain:
            names = list(chain)
            circle = names[names.index(node) :]
            shown = [*circle, node] if len(circle) <= 8 else [*circle[:7], "…", node]
            yield HierarchyFinding(Code.CYCLE, node, f"a cycle of {len(circle)}: {' > '.join(shown)}")
        done.update(chain)


def _unusable(edges: EdgeList, classes: Sequence[str]) -> Iterator[HierarchyFinding]:
    seen: set[str] = set()
    for name in classes:
        if name in seen:
            yield HierarchyFinding(Code.LISTED_TWICE, name, "the class list names it more than once")
        elif name not in edges.parents:
            yield HierarchyFinding(Code.UNKNOWN_NAME, name, f"a class that {edges.name} does not name")
        seen.add(name)


def _orphans(hierarchy: Hierarchy) -> Iterator[HierarchyFinding]:
    for name, parent, children in zip(hierarchy.wnids, hierarchy.parents.tolist(), hierarchy.children, strict=True):
        if parent == ROOT and not children:
            yield HierarchyFinding(Code.ORPHAN, name, "no other class lies above or below it")
