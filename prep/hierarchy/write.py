"""Writes the hierarchy table alone, and compares it with another hierarchy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.hierarchy.source import read_source
from in21k.prep.near_classes import list_hint
from in21k.prep.tables import write_table
from in21k.shards_manifest.markers import PARQUET_START, FolderKind, require_file_place, require_place_for
from in21k.shards_manifest.storage.location import locate
from in21k.tree.class_lists import PublishedList, class_list_digest, published_class_list, read_class_list
from in21k.tree.compare import compare_class_order, compare_hierarchies
from in21k.tree.findings import HierarchyFinding, count_codes
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.reference_tree import read_reference_tree
from in21k.tree.table import read_hierarchy
from in21k.tree.taxonomy import Taxonomy


def write_hierarchy(
    source: str | Sequence[str] | None,
    output: Path,
    taxonomy: Taxonomy,
    compare: str | None = None,
) -> tuple[dict[str, Any], tuple[HierarchyFinding, ...]]:
    """Write the hierarchy table of a source; return the summary, and the findings about its edges and the comparison.

    Args:
        source: the classes, as for `read_source`.
        output: the Parquet file to write.
        taxonomy: what lies above the classes.
        compare: what to compare the hierarchy with, as for `compare_with`.

    Raises:
        PrepError: the source is not of a known kind.
        TreeError: a class is unknown or listed twice, or the edges do not form a hierarchy.
    """
    require_place_for(locate(output.parent), FolderKind.REPORT, option="--output")
    require_file_place(output, PARQUET_START, "a Parquet table", option="--output")
    if compare is not None and output.exists() and Path(compare).exists() and output.samefile(compare):
        raise PrepError(f"{output}: --output is the file to compare with; give another --output")
    found = read_source(source, taxonomy)
    hierarchy = found.hierarchy
    differences = compare_with(hierarchy, compare) if compare is not None else []
    write_table(locate(output), found.table)
    summary: dict[str, Any] = {
        "classes": len(hierarchy),
        "levels": hierarchy.num_levels,
        "classes_per_level": hierarchy.level_sizes.tolist(),
        "class_list_sha256": class_list_digest(hierarchy.wnids),
        "table": str(output),
    }
    if compare is not None:
        counts = ", ".join(f"{count:,} {code}" for code, count in count_codes(differences).items())
        summary["compared_with"] = f"{compare}: {counts or 'no differences'}"
    return summary, (*found.findings, *differences)


def compare_with(hierarchy: Hierarchy, other: str) -> list[HierarchyFinding]:
    """Return the differences between a hierarchy and another one, or a class list.

    Args:
        hierarchy: the hierarchy to compare.
        other: a file in the layout of the authors' `.pth` or a hierarchy table, to compare class order and parents; a
            text file with one wnid per line or the name of a published list, to compare class order alone.

    Raises:
        PrepError: there is no such file.
        TreeError: the file is none of these.
    """
    if other in list(PublishedList):
        return compare_class_order(hierarchy.wnids, published_class_list(PublishedList(other)))
    path = Path(other)
    if not path.is_file():
        raise PrepError(
            f"{other}: no such file to compare with; pass a .pth file, a hierarchy table, a class list, or a published "
            f"list; {list_hint(other)}"
        )
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PAR1":
        return compare_hierarchies(hierarchy, read_hierarchy(path, other))
    if start.isascii() and start[:1].isalnum() and start[:2] != b"PK":
        return compare_class_order(hierarchy.wnids, read_class_list(path))
    return compare_hierarchies(hierarchy, read_reference_tree(path).hierarchy)
