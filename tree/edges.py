"""A hierarchy from a CSV of child and parent, for any label set, and the findings about its edges."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from in21k.tree.errors import FindingsError, TreeError
from in21k.tree.findings import Code, HierarchyFinding
from in21k.tree.hierarchy import ROOT, Hierarchy, build_hierarchy
from in21k.tree.parents import ParentRule

HEADER = ["child", "parent"]
NAME = "name"
"""A third column, which may be left out: what the child is called."""
GLOSS = "gloss"
"""A fourth one, likewise: what the child is."""

FIRST_PARENT = "first"
"""The rule for edge lists: a child with several parents keeps the one listed first."""
_SHOWN = 10
"""How many parents of a class a finding names."""


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
    names: Mapping[str, str] = field(default_factory=dict)
    """What children are called, where the file says so."""
    glosses: Mapping[str, str] = field(default_factory=dict)
    """What children are, where the file says so."""


def read_edges(path: Path) -> EdgeList:
    """Return the edges in a CSV with the header `child,parent`, `child,parent,name` or `child,parent,name,gloss`.

    A child with an empty parent is a root. Blanks around a field do not count.

    Raises:
        TreeError: the file is not text, has a different header, or has no edges.
        OSError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[text.strip() for text in row] for row in csv.reader(file)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TreeError(f"{path} is not a CSV of child,parent ({error})") from None
    header = [text.lower() for text in rows[0]] if rows else []
    if header not in (HEADER, [*HEADER, NAME], [*HEADER, NAME, GLOSS]):
        found = f", not {','.join(rows[0])[:80]!r}" if rows else "; the file is empty"
        raise TreeError(
            f"{path}: the first line must be child,parent, child,parent,name or child,parent,name,gloss{found}"
        )
    edges = edges_of(rows[1:], path.name, len(header))
    if not edges.nodes and not edges.findings:
        raise TreeError(f"{path} has no edges below its header")
    return edges


def edges_of(rows: Sequence[Sequence[str]], name: str, columns: int = len(HEADER)) -> EdgeList:
    """Return the edge list of rows of child and parent, with findings about malformed and repeated rows.

    Args:
        rows: child, parent and perhaps the child's name and gloss; an empty parent makes the child a root; empty rows
            are ignored.
        name: where the rows come from, for messages.
        columns: how many fields a row has, 2 to 4.
    """
    parents: dict[str, dict[str, None]] = {}
    said: tuple[dict[str, str], dict[str, str]] = {}, {}  # names and glosses
    findings = []
    for number, row in enumerate(rows, 2):
        if not any(row):
            continue
        if len(row) != columns or not row[0]:
            expected = ",".join([*HEADER, NAME, GLOSS][:columns])
            message = f"{len(row)} fields, the first of them {row[0][:80]!r}; expected {expected}"
            findings.append(HierarchyFinding(Code.MALFORMED_ROW, f"row {number}", message))
            continue
        child, parent, *words = row
        above = parents.setdefault(child, {})
        if parent in above:
            findings.append(HierarchyFinding(Code.REPEATED_EDGE, child, f"row {number} repeats the parent {parent!r}"))
        elif parent:
            above[parent] = None
            parents.setdefault(parent, {})
        for verb, known, word in zip(("names", "describes"), said, words, strict=False):
            if word and known.setdefault(child, word) != word:
                message = f"row {number} {verb} it {word[:80]!r}; {known[child][:80]!r} is kept"
                findings.append(HierarchyFinding(Code.SEVERAL_NAMES, child, message))
    lists = {child: tuple(above) for child, above in parents.items()}
    findings += _several_parents(lists, "the first one")
    return EdgeList(name, tuple(sorted(lists)), lists, tuple(findings), *said)


def rule_for_edges(rule: ParentRule) -> str:
    """Return what a rule comes to where there are edges: the first of several parents, or the one nearest to a root."""
    return rule.value if rule is ParentRule.SHORTEST else FIRST_PARENT


def chosen_parents(edges: EdgeList, rule: ParentRule) -> dict[str, str]:
    """Return the parent of each child.

    Args:
        edges: the edges.
        rule: `shortest` takes the parent nearest to a root, among equals the first; other rules take the first.
    """
    if rule is not ParentRule.SHORTEST:
        return {child: above[0] for child, above in edges.parents.items() if above}
    depths = _depths(edges.parents)
    unreached = len(depths)  # in a cycle, or below one
    return {
        child: min(above, key=lambda parent: depths.get(parent, unreached))
        for child, above in edges.parents.items()
        if above
    }


def _depths(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the number of steps on the shortest way up to a root, for each name from which one is reached."""
    below: dict[str, list[str]] = {}
    for child, above in parents.items():
        for parent in above:
            below.setdefault(parent, []).append(child)
    depths = {name: 0 for name, above in parents.items() if not above}
    row = list(depths)
    while row:
        depth = depths[row[0]] + 1
        row = list(dict.fromkeys(child for name in row for child in below.get(name, ()) if child not in depths))
        depths.update(dict.fromkeys(row, depth))
    return depths


def edge_hierarchy(
    edges: EdgeList, classes: Sequence[str] | None = None, rule: ParentRule = ParentRule.PUBLISHED
) -> tuple[Hierarchy, tuple[HierarchyFinding, ...]]:
    """Return the hierarchy of an edge list, and all findings about it.

    Args:
        edges: the edges.
        classes: the classes in order of class index, each with its nearest listed ancestor as its parent; by default
            all names in the edges, sorted.
        rule: which of several parents a child keeps, as for `chosen_parents`.

    Raises:
        FindingsError: there are cycles, malformed rows, or classes that are unknown or listed twice.
    """
    parent = chosen_parents(edges, rule)
    findings = [*_under(rule, edges), *_cycles(parent), *_unusable(edges, classes or ())]
    if any(finding.is_error for finding in findings):
        raise FindingsError(edges.name, sorted(findings, key=lambda finding: not finding.is_error))
    hierarchy = build_hierarchy(edges.nodes if classes is None else classes, parent.get)
    return hierarchy, (*findings, *_orphans(hierarchy))


def _several_parents(parents: Mapping[str, Sequence[str]], kept: str) -> Iterator[HierarchyFinding]:
    """Yield a finding for each child with several parents, which says which one is kept."""
    for child, above in parents.items():
        if len(above) > 1:
            message = f"{len(above)} parents, {kept} is kept: {_shown(above)}"
            yield HierarchyFinding(Code.SEVERAL_PARENTS, child, message)


def _under(rule: ParentRule, edges: EdgeList) -> list[HierarchyFinding]:
    """Return the findings about the file's rows, with what a rule does about several parents."""
    if rule is not ParentRule.SHORTEST:
        return list(edges.findings)
    others = [finding for finding in edges.findings if finding.code is not Code.SEVERAL_PARENTS]
    return [*others, *_several_parents(edges.parents, "the one nearest to a root")]


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


def _shown(names: Sequence[str]) -> str:
    more = [f"{len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])
