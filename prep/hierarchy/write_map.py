"""Writes the map from a source's classes to those of another list as a CSV, such as ImageNet-21K's to ImageNet-1K's."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.hierarchy.source import read_source_classes
from in21k.shards_manifest.markers import FolderKind, require_file_place, require_place_for
from in21k.shards_manifest.storage.location import locate
from in21k.tree.class_map import Mapped, Relation, map_classes
from in21k.tree.edges import read_edges
from in21k.tree.taxonomy import EdgeTaxonomy, Taxonomy, WordNet

HEADER = ("class_index", "wnid", "name", "relation", "target_index", "target_wnid", "target_name", "steps", "ties")


def write_class_map(source: str | None, target: str, output: Path, edges: Path | None = None) -> dict[str, Any]:
    """Write what each class of a source is mapped to in another class list, and return the number of each relation.

    Args:
        source: the classes to map, as for `read_source`.
        target: the classes to map them to: a prepared dataset, a class list, or the name of a published list.
        output: the CSV to write.
        edges: a CSV of child and parent to use instead of WordNet.

    Raises:
        PrepError: the source or the target is not of a known kind.
        TreeError: a class is unknown.
    """
    require_place_for(locate(output.parent), FolderKind.REPORT, option="--output")
    require_file_place(output, ",".join(HEADER).encode(), "a class map of in21k", option="--output")
    edge_list = None if edges is None else read_edges(edges)
    taxonomy = WordNet() if edge_list is None else EdgeTaxonomy(edge_list)
    if source is not None:
        classes = read_source_classes(source, wnids_only=edge_list is None).wnids
    elif edge_list is not None:
        classes = list(edge_list.nodes)
    else:
        raise PrepError("name a source, whose classes are mapped, or pass --edges")
    targets = read_source_classes(target, wnids_only=edge_list is None).wnids
    mapped = map_classes(classes, targets, taxonomy.parents)
    locate(output).write_bytes(_csv(mapped, targets, taxonomy))
    found = Counter(row.relation for row in mapped)
    counts = {relation.value: found[relation] for relation in Relation}
    return {"classes": len(mapped), "targets": len(targets), **counts, "map": str(output)}


def _csv(mapped: list[Mapped], targets: list[str], taxonomy: Taxonomy) -> bytes:
    index_of = {target: index for index, target in enumerate(targets)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for index, row in enumerate(mapped):
        name, target_name = (
            taxonomy.words(label)[0] if label in taxonomy else label for label in (row.wnid, row.target)
        )
        target = (index_of.get(row.target, -1), row.target, target_name)
        writer.writerow((index, row.wnid, name, row.relation.value, *target, row.steps, " ".join(row.ties)))
    return text.getvalue().encode()
