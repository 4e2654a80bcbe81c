"""A hierarchy from a CSV of child and parent, for any label set, and the findings about its edges."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from in21k.tree.errors import FindingsError, TreeError
from in21k.tree.findings import Code, HierarchyFinding
from in21k.tree.hierarchy import ROOT, Hierarchy, build_hierarchy

HEADER = ["child", "parent"]


@dataclass(frozen=True, slots=True)
class EdgeList:
    """The edges of a label set."""

    name: str
    """The file's name, for messages."""
    nodes: tuple[str, ...]
    """All names in the file, sorted by code point."""
    parents: Mapping[str, tuple[str, ...]]
    """The distinct parents of each child, in the file's order."""
    findings: tuple[HierarchyFinding, ...]
    """The findings about the file's rows."""


def read_edges(path: Path) -> EdgeList:
    """Return the edges in a CSV with the header `child,parent`; a child with an empty parent is a root.

    Raises:
        TreeError: the file is not text, has a different header, or has no edges.
        OSError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[field.strip() for field in row] for row in csv.reader(file)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TreeError(f"{path} is not a CSV of child,parent ({error})") from None
    if not rows or [field.lower() for field in rows[0]] != HEADER:
        raise TreeError(f"{path}: the first line must be child,parent")
    edges = edges_of(rows[1:], path.name)
    if not edges.nodes and not edges.findings:
        raise TreeError(f"{path} has no edges below its header")
    return edges


def edges_of(rows: Sequence[Sequence[str]], name: str) -> EdgeList:
    """Return the edge list of rows of child and parent, with findings about malformed and repeated rows.

    Args:
        rows: child and parent; an empty parent makes the child a root; empty rows are ignored.
        name: where the rows come from, for messages.
    """
    parents: dict[str, dict[str, None]] = {}
    findings = []
    for number, row in enumerate(rows, 2):
        if not any(row):
            continue
        if len(row) != 2 or not row[0]:
            message = f"{len(row)} fields, the first of them {row[0][:80]!r}; expected child,parent"
            findings.append(HierarchyFinding(Code.MALFORMED_ROW, f"row {number}", message))
            continue
        child, parent = row
        above = parents.setdefault(child, {})
        if parent in above:
            findings.append(HierarchyFinding(Code.REPEATED_EDGE, child, f"row {number} repeats the parent {parent!r}"))
        elif parent:
            above[parent] = None
            parents.setdefault(parent, {})
    lists = {child: tuple(above) for child, above in parents.items()}
    findings += [
        HierarchyFinding(
            Code.SEVERAL_PARENTS, child, f"{len(above)} parents, the first one is kept: {', '.join(above)}"
        )
        for child, above in lists.items()
        if len(above) > 1
    ]
    return EdgeList(name, tuple(sorted(lists)), lists, tuple(findings))


def edge_hierarchy(
    edges: EdgeList, classes: Sequence[str] | None = None
) -> tuple[Hierarchy, tuple[HierarchyFinding, ...]]:
    """Return the hierarchy of an edge list, and all findings about it.

    Args:
        edges: the edges; a child with several parents keeps the first.
        classes: the classes in order of class index, each with its nearest listed ancestor as its parent; by default
            all names in the edges, sorted.

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
    """Yield a finding for each cycle, named after its first child in the file's order."""
    done: set[str] = set()
    for start in parent:
        chain: dict[str, None] = {}
        node: str | None = start
        while node is not None and node not in done and node not in chain:
            chain[node] = None
            node = parent.get(node)
        if node is not None and node in chain:
            names = list(chain)
            cycle = names[names.index(node) :]
            shown = [*cycle, node] if len(cycle) <= 8 else [*cycle[:7], "…", node]
            yield HierarchyFinding(Code.CYCLE, node, f"a cycle of {len(cycle)}: {' > '.join(shown)}")
        done.update(chain)


def _unusable(edges: EdgeList, classes: Sequence[str]) -> Iterator[HierarchyFinding]:
    """Yield a finding for each listed class that is repeated or missing from the edges."""
    seen: set[str] = set()
    for name in classes:
        if name in seen:
            yield HierarchyFinding(Code.LISTED_TWICE, name, "the class list names it more than once")
        elif name not in edges.parents:
            yield HierarchyFinding(Code.UNKNOWN_NAME, name, f"a class that does not appear in {edges.name}")
        seen.add(name)


def _orphans(hierarchy: Hierarchy) -> Iterator[HierarchyFinding]:
    """Yield a finding for each class without a parent or children."""
    for name, parent, children in zip(hierarchy.wnids, hierarchy.parents.tolist(), hierarchy.children, strict=True):
        if parent == ROOT and not children:
            yield HierarchyFinding(Code.ORPHAN, name, "no other class is above or below it")
