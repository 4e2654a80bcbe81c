"""What the hierarchy commands take: a prepared dataset, a list of classes, a published list by name, or edges."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from in21k.prep.errors import PrepError
from in21k.shards_manifest.manifest import HIERARCHY, MANIFEST
from in21k.shards_manifest.storage.location import Location, locate
from in21k.tree.class_lists import PublishedList, published_class_list, read_class_list, read_wnid_list
from in21k.tree.class_names import edge_class_names
from in21k.tree.edges import edge_hierarchy, read_edges
from in21k.tree.findings import HierarchyFinding
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, named_table, wordnet_hierarchy

SOURCES = "a prepared dataset, a list of classes, one a line, or " + " or ".join(PublishedList)


@dataclass(frozen=True, eq=False)
class Tree:
    """A hierarchy with its table."""

    hierarchy: Hierarchy
    table: pa.Table
    """Of `tree.table.SCHEMA`."""
    findings: tuple[HierarchyFinding, ...] = ()
    """What was found in its edges."""


@dataclass(frozen=True, eq=False)
class ClassList:
    """Classes in order of class index, and their images where there is a dataset."""

    wnids: list[str]
    images_train: npt.NDArray[np.int64] | None = None
    images_val: npt.NDArray[np.int64] | None = None


def read_tree(source: str | None, rule: ParentRule, edges: Path | None = None) -> Tree:
    """Return the hierarchy of a source.

    Args:
        source: the folder or URI of a prepared dataset, a text file with a class a line, or the name of a published
            list; without one `edges` tells the classes, too.
        rule: which hypernym of a synset with several is its parent, where WordNet tells them.
        edges: a CSV of child and parent that takes WordNet's place.

    Raises:
        PrepError: the source is nothing of these.
        TreeError: a class is unknown or listed twice, or the edges make no hierarchy.
    """
    if edges is None:
        if source is None:
            raise PrepError(f"name a source, {SOURCES}, or give --edges")
        classes = read_classes(source)
        hierarchy = wordnet_hierarchy(classes.wnids, rule)
        return Tree(hierarchy, hierarchy_table(hierarchy, rule, classes.images_train, classes.images_val))
    listed = read_classes(source, of_wordnet=False) if source is not None else None
    edge_list = read_edges(edges)
    hierarchy, findings = edge_hierarchy(edge_list, listed.wnids if listed else None)
    labels = edge_class_names(hierarchy.wnids, edge_list.parents, edge_list.name)
    images = (listed.images_train, listed.images_val) if listed else ()
    return Tree(hierarchy, named_table(hierarchy, labels, *images), findings)


def read_classes(source: str, of_wordnet: bool = True) -> ClassList:
    """Return the classes of a source; those of a text file must be wnids where `of_wordnet` says so.

    Raises:
        PrepError: the source is no dataset, no class list and no name of a published one.
        TreeError: a line of a class list is no wnid, or it is empty.
    """
    if source in list(PublishedList):
        return ClassList(list(published_class_list(PublishedList(source))))
    location = locate(source)
    if location.child(MANIFEST).exists():
        return _classes_of_table(location.child(HIERARCHY))
    path = Path(location.path)
    if location.is_local and path.is_dir():
        raise PrepError(f"{source}: a folder without a finished dataset; give {SOURCES}")
    if not location.exists():
        raise PrepError(f"{source}: nothing there; give {SOURCES}")
    if not location.is_local:
        raise PrepError(f"{source}: a class list must be a local file")
    return ClassList(read_wnid_list(path) if of_wordnet else read_class_list(path))


def _classes_of_table(location: Location) -> ClassList:
    try:
        with location.open_input() as file:
            columns = pq.read_table(file, columns=["wnid", "images_train", "images_val"])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise PrepError(f"{location.text} is not a hierarchy table ({error})") from error
    train, val = (columns[name].to_numpy().astype(np.int64) for name in ("images_train", "images_val"))
    return ClassList(columns["wnid"].to_pylist(), train, val)
