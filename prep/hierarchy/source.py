"""The sources of the hierarchy commands: a prepared dataset, a class list, a published list by name, or edges."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.prep.errors import PrepError
from in21k.shards_manifest.command.nearest import did_you_mean
from in21k.shards_manifest.manifest import HIERARCHY, MANIFEST, Manifest, read_manifest
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location, locate
from in21k.tree.class_lists import PublishedList, published_class_list, read_class_list, read_wnid_list
from in21k.tree.class_names import edge_class_names
from in21k.tree.edges import edge_hierarchy
from in21k.tree.findings import HierarchyFinding
from in21k.tree.hierarchy import Hierarchy, build_hierarchy
from in21k.tree.table import ANY_SCHEMA, READ_SCHEMA, SCHEMA, hierarchy_of, named_table
from in21k.tree.taxonomy import EdgeTaxonomy, Taxonomy, TaxonomyKind, class_names, labels_above

SOURCES = f"a prepared dataset, a text file with one class per line, or a published list: {', '.join(PublishedList)}"


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


def read_source(source: str | Sequence[str] | None, taxonomy: Taxonomy) -> SourceHierarchy:
    """Return the hierarchy of a source's classes.

    Args:
        source: the folder or URI of a prepared dataset, a text file with one class per line, or the name of a published
            list; or labels in order of class index; may be None with edges, whose names are then the classes.
        taxonomy: what lies above the classes; a dataset that has a taxonomy of its own keeps it under WordNet.

    Raises:
        PrepError: the source is none of these.
        TreeError: a class is unknown or listed twice, or the edges do not form a hierarchy.
    """
    if isinstance(taxonomy, EdgeTaxonomy):
        return _of_edges(source, taxonomy)
    if source is None:
        raise PrepError(f"name a source, or pass --edges; a source is {SOURCES}")
    if taxonomy.kind is TaxonomyKind.WORDNET:
        if isinstance(source, str) and (own := _own_tree(locate(source))) is not None:
            return own
        classes = _classes(source, wnids_only=True)
        hierarchy = build_hierarchy(classes.wnids, taxonomy.parent)
        images = [classes.images_train, classes.images_val]
    else:
        labels = _classes(source, wnids_only=False).wnids
        images = []
        hierarchy = build_hierarchy(sorted({*labels, *labels_above(taxonomy, labels)}, key=str.encode), taxonomy.parent)
    return SourceHierarchy(hierarchy, named_table(hierarchy, class_names(taxonomy, hierarchy.wnids), *images))


def dataset_tree(dataset: Location, manifest: Manifest) -> SourceHierarchy:
    """Return the hierarchy stored in a dataset.

    Raises:
        DatasetError, TreeError: its table is missing or damaged.
    """
    location = dataset.child(HIERARCHY)
    table = read_columns(location, ANY_SCHEMA)
    if len(table) != manifest.classes:
        raise PrepError(
            f"{location.text} has {len(table)} classes, the manifest {manifest.classes}; "
            "run `in21k-prep verify` for details"
        )
    return SourceHierarchy(hierarchy_of(table.select(READ_SCHEMA.names), location.text), table)


def _of_edges(source: str | Sequence[str] | None, taxonomy: EdgeTaxonomy) -> SourceHierarchy:
    edges, listed = taxonomy.edges, None if source is None else _classes(source, wnids_only=False)
    hierarchy, findings = edge_hierarchy(edges, listed.wnids if listed else None, taxonomy.parent_rule)
    names = edge_class_names(hierarchy.wnids, edges.parents, edges.name, edges.names, taxonomy.rule, edges.glosses)
    images = (listed.images_train, listed.images_val) if listed else ()
    return SourceHierarchy(hierarchy, named_table(hierarchy, names, *images), findings)


def _own_tree(location: Location) -> SourceHierarchy | None:
    """Return the tree of a dataset whose taxonomy is no WordNet, None for any other source."""
    if not location.child(MANIFEST).exists():
        return None
    manifest = read_manifest(location)
    if not manifest.has_own_taxonomy:
        return None
    found = dataset_tree(location, manifest)
    return replace(found, table=found.table.cast(SCHEMA.with_metadata(found.table.schema.metadata)))


def _classes(source: str | Sequence[str], *, wnids_only: bool) -> ClassList:
    return read_source_classes(source, wnids_only) if isinstance(source, str) else ClassList(list(source))


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
        hint = did_you_mean(source, PublishedList, f"pass {SOURCES}")
        raise PrepError(f"{location.text} does not exist; {hint}")
    if not location.is_local:
        raise PrepError(f"{location.text}: a class list must be a local file")
    return ClassList(read_wnid_list(path) if wnids_only else read_class_list(path))


def _classes_of_table(location: Location) -> ClassList:
    """Return the classes and image counts in a dataset's hierarchy table."""
    columns = read_columns(location, pa.schema([SCHEMA.field(name) for name in ("wnid", "images_train", "images_val")]))
    train, val = (columns[name].to_numpy().astype(np.int64) for name in ("images_train", "images_val"))
    return ClassList(columns["wnid"].to_pylist(), train, val)
