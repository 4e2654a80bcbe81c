"""The sources of the hierarchy commands: a prepared dataset, a class list, a published list by name, or edges."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.prep.errors import PrepError
from in21k.shards_manifest.manifest import HIERARCHY, MANIFEST
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location, locate
from in21k.tree.class_lists import PublishedList, published_class_list, read_class_list, read_wnid_list
from in21k.tree.class_names import edge_class_names
from in21k.tree.edges import edge_hierarchy, read_edges, rule_for_edges
from in21k.tree.findings import HierarchyFinding
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.parents import ParentRule
from in21k.tree.table import SCHEMA, hierarchy_table, named_table, wordnet_hierarchy

SOURCES = "a prepared dataset, a class list (a text file, one class per line), or " + " or ".join(PublishedList)


@dataclass(frozen=True, eq=False)
class SourceHierarchy:
    """The hierarchy of a source, with its table."""

    hierarchy: Hierarchy
    table: pa.Table
    """The hierarchy table, with the schema `in21k.tree.table.SCHEMA`."""
    findings: tuple[HierarchyFinding, ...] = ()
    """The findings about its edges."""


@dataclass(frozen=True, eq=False)
class ClassList:
    """Classes in order of class index, with their image counts if they come from a dataset."""

    wnids: list[str]
    images_train: npt.NDArray[np.int64] | None = None
    images_val: npt.NDArray[np.int64] | None = None


def read_source(source: str | None, rule: ParentRule, edges: Path | None = None) -> SourceHierarchy:
    """Return the hierarchy of a source's classes.

    Args:
        source: the folder or URI of a prepared dataset, a text file with one class per line, or the name of a published
            list; may be None with `edges`, whose names are then the classes.
        rule: how a parent is chosen for a synset with several hypernyms, or for a child with several in `edges`.
        edges: a CSV of child and parent to use instead of WordNet.

    Raises:
        PrepError: the source is none of these.
        TreeError: a class is unknown or listed twice, or the edges do not form a hierarchy.
    """
    if edges is None:
        if source is None:
            raise PrepError(f"name a source ({SOURCES}), or pass --edges")
        classes = read_source_classes(source)
        hierarchy = wordnet_hierarchy(classes.wnids, rule)
        return SourceHierarchy(hierarchy, hierarchy_table(hierarchy, rule, classes.images_train, classes.images_val))
    listed = read_source_classes(source, wnids_only=False) if source is not None else None
    edge_list = read_edges(edges)
    hierarchy, findings = edge_hierarchy(edge_list, listed.wnids if listed else None, rule)
    class_names = edge_class_names(
        hierarchy.wnids, edge_list.parents, edge_list.name, edge_list.names, rule_for_edges(rule)
    )
    images = (listed.images_train, listed.images_val) if listed else ()
    return SourceHierarchy(hierarchy, named_table(hierarchy, class_names, *images), findings)


def read_source_classes(source: str, wnids_only: bool = True) -> ClassList:
    """Return the classes of a source.

    Args:
        source: a prepared dataset, a class list, or the name of a published list.
        wnids_only: whether each line of a class list must be a wnid.

    Raises:
        PrepError: the source is none of these.
        TreeError: a class list is empty, or one of its lines must be a wnid and is not.
    """
    if source in list(PublishedList):
        return ClassList(list(published_class_list(PublishedList(source))))
    location = locate(source)
    if location.child(MANIFEST).exists():
        return _classes_of_table(location.child(HIERARCHY))
    path = Path(location.path)
    if location.is_local and path.is_dir():
        raise PrepError(f"{location.text} is a folder without a finished dataset; pass {SOURCES}")
    if not location.exists():
        raise PrepError(f"{location.text} does not exist; pass {SOURCES}")
    if not location.is_local:
        raise PrepError(f"{location.text}: a class list must be a local file")
    return ClassList(read_wnid_list(path) if wnids_only else read_class_list(path))


def _classes_of_table(location: Location) -> ClassList:
    """Return the classes and image counts in a dataset's hierarchy table."""
    columns = read_columns(location, pa.schema([SCHEMA.field(name) for name in ("wnid", "images_train", "images_val")]))
    train, val = (columns[name].to_numpy().astype(np.int64) for name in ("images_train", "images_val"))
    return ClassList(columns["wnid"].to_pylist(), train, val)
