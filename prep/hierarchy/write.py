"""The hierarchy table alone, and where it differs from another's."""

from pathlib import Path
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.hierarchy.source import read_tree
from in21k.prep.tables import write_table
from in21k.shards_manifest.storage.location import locate
from in21k.tree.class_lists import PublishedList, class_list_digest, published_class_list, read_class_list
from in21k.tree.compare import compare_class_order, compare_hierarchies
from in21k.tree.findings import HierarchyFinding, count_codes
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.parents import ParentRule
from in21k.tree.reference_tree import read_reference_tree
from in21k.tree.table import read_hierarchy


def write_tree(
    source: str | None,
    output: Path,
    rule: ParentRule,
    edges: Path | None = None,
    compare: str | None = None,
) -> tuple[dict[str, Any], tuple[HierarchyFinding, ...]]:
    """Write the hierarchy table of a source; return its summary and what was found in its edges and by comparing.

    Args:
        source: what `read_tree` takes.
        output: the Parquet file to write.
        rule: which hypernym of a synset with several is its parent.
        edges: a CSV of child and parent that takes WordNet's place.
        compare: what `compare_with` takes.

    Raises:
        PrepError: the source is nothing that is known.
        TreeError: a class is unknown or listed twice, or the edges make no hierarchy.
    """
    tree = read_tree(source, rule, edges)
    findings = tree.findings
    differences = compare_with(tree.hierarchy, compare) if compare is not None else []
    write_table(locate(output), tree.table)
    hierarchy = tree.hierarchy
    summary: dict[str, Any] = {
        "classes": len(hierarchy),
        "levels": hierarchy.num_levels,
        "classes_a_level": " ".join(map(str, hierarchy.level_sizes.tolist())),
        "class_list_sha256": class_list_digest(hierarchy.wnids),
        "table": str(output),
    }
    if compare is not None:
        counts = count_codes(differences)
        told = ", ".join(f"{count:,} {code}" for code, count in counts.items())
        summary["compared_with"] = f"{compare}: {told or 'no difference'}"
    return summary, (*findings, *differences)


def compare_with(hierarchy: Hierarchy, other: str) -> list[HierarchyFinding]:
    """Return where a hierarchy differs from another.

    Args:
        hierarchy: ours.
        other: a file of the authors' `.pth` layout or a hierarchy table, to compare class order and parents with; or a
            list of wnids, one a line, or the name of a published one, to compare class order with.

    Raises:
        PrepError: there is no such file.
        TreeError: it is nothing of these.
    """
    if other in list(PublishedList):
        return compare_class_order(hierarchy.wnids, published_class_list(PublishedList(other)))
    path = Path(other)
    if not path.is_file():
        raise PrepError(
            f"{other}: no file to compare with; give a .pth, a Parquet table, a class list or a list's name"
        )
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PAR1":
        return compare_hierarchies(hierarchy, read_hierarchy(path, other))
    if start.isascii() and start[:1].isalnum() and start[:2] != b"PK":
        return compare_class_order(hierarchy.wnids, read_class_list(path))
    return compare_hierarchies(hierarchy, read_reference_tree(path).hierarchy)
