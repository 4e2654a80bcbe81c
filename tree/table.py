"""The hierarchy as a Parquet table: its columns, how it is made, written and read."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import ROOT, Hierarchy, build_hierarchy
from in21k.tree.labels import Labels, wordnet_labels
from in21k.tree.parents import ParentRule, primary_parents
from in21k.tree.wordnet import load_wordnet

FORMAT_VERSION = "2"

SCHEMA = pa.schema(
    [
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("lemmas", pa.list_(pa.string()), nullable=False),
        pa.field("parent_index", pa.int32(), nullable=False),  # -1 for roots
        pa.field("parent_wnid", pa.string()),  # null for roots
        pa.field("level", pa.int32(), nullable=False),
        pa.field("path", pa.list_(pa.int32()), nullable=False),  # class indices, root first, ends in the class itself
        pa.field("path_names", pa.string(), nullable=False),  # "animal > domestic animal > dog"
        pa.field("ancestors", pa.list_(pa.int32()), nullable=False),  # the path without the class itself
        pa.field("wordnet_parents", pa.list_(pa.string()), nullable=False),  # all parents in the source, listed or not
        pa.field("children", pa.list_(pa.int32()), nullable=False),
        pa.field("descendants", pa.int32(), nullable=False),  # classes below
        pa.field("leaves", pa.int32(), nullable=False),  # classes without children, of itself and all below
        pa.field("images_train", pa.int64(), nullable=False),
        pa.field("images_val", pa.int64(), nullable=False),
        pa.field("images_subtree", pa.int64(), nullable=False),  # train and val, of the class and all below
        pa.field("active", pa.bool_(), nullable=False),  # its level has two classes or more, hence a softmax
        pa.field("level_weight", pa.float64(), nullable=False),  # W_k of its level
    ]
)


def wordnet_hierarchy(wnids: Sequence[str], rule: ParentRule = ParentRule.PUBLISHED) -> Hierarchy:
    """Return the hierarchy of a list of wnids under WordNet 3.0.

    Raises:
        TreeError: a wnid is listed twice or is no noun synset of WordNet 3.0.
    """
    return build_hierarchy(wnids, primary_parents(rule))


def hierarchy_table(
    hierarchy: Hierarchy,
    rule: ParentRule,
    images_train: npt.NDArray[np.int64] | None = None,
    images_val: npt.NDArray[np.int64] | None = None,
) -> pa.Table:
    """Return the table of a WordNet hierarchy, a row a class in order of class index.

    Args:
        hierarchy: classes that WordNet 3.0 knows.
        rule: the rule that chose the parents, kept in the table's metadata.
        images_train: int64 [C], training images of each class; zeros where there is no dataset.
        images_val: int64 [C], validation images of each class.
    """
    return labelled_table(hierarchy, wordnet_labels(hierarchy.wnids, rule), images_train, images_val)


def labelled_table(
    hierarchy: Hierarchy,
    labels: Labels,
    images_train: npt.NDArray[np.int64] | None = None,
    images_val: npt.NDArray[np.int64] | None = None,
) -> pa.Table:
    """Return the table of any hierarchy, a row a class in order of class index.

    Args:
        hierarchy: the classes, which are the table's `wnid` whatever they look like.
        labels: what they are called, and where their parents are from.
        images_train: int64 [C], training images of each class; zeros where there is no dataset.
        images_val: int64 [C], validation images of each class.
    """
    none = np.zeros(len(hierarchy), np.int64)
    train, val = (none if images is None else images for images in (images_train, images_val))
    parents = hierarchy.parents.tolist()
    paths = [hierarchy.path(index) for index in range(len(hierarchy))]
    is_leaf = np.array([not children for children in hierarchy.children], np.int64)
    columns = {
        "class_index": range(len(hierarchy)),
        "wnid": hierarchy.wnids,
        "name": labels.names,
        "lemmas": labels.lemmas,
        "parent_index": parents,
        "parent_wnid": [None if parent == ROOT else hierarchy.wnids[parent] for parent in parents],
        "level": hierarchy.levels,
        "path": paths,
        "path_names": [" > ".join(labels.names[index] for index in path) for path in paths],
        "ancestors": [path[:-1] for path in paths],
        "wordnet_parents": labels.all_parents,
        "children": hierarchy.children,
        "descendants": hierarchy.subtree_sums(none + 1) - 1,
        "leaves": hierarchy.subtree_sums(is_leaf),
        "images_train": train,
        "images_val": val,
        "images_subtree": hierarchy.subtree_sums(train + val),
        "active": hierarchy.active[hierarchy.levels],
        "level_weight": hierarchy.level_weights[hierarchy.levels],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata(_metadata(hierarchy, labels)))


def write_table(table: pa.Table, sink: Path | BinaryIO) -> None:
    """Write a hierarchy table as Parquet to a path or an open file."""
    pq.write_table(table, sink, compression="zstd")


def read_hierarchy(source: Path | BinaryIO, name: str) -> Hierarchy:
    """Return the hierarchy of a table that `write_table` wrote.

    Args:
        source: a path or an open file.
        name: what to call it in an error.

    Raises:
        TreeError: it is no hierarchy table, or its rows contradict each other.
    """
    wanted = pa.schema([SCHEMA.field(column) for column in ("class_index", "wnid", "parent_index", "level")])
    try:
        table = pq.read_table(source, columns=wanted.names).select(wanted.names).cast(wanted)  # refuses nulls, too
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise TreeError(
            f"{name} is no hierarchy table ({_first_line(error)}); write it anew with in21k-prep"
        ) from error
    indices = table["class_index"].to_numpy()
    if not np.array_equal(indices, np.arange(len(indices))):
        raise TreeError(f"{name}: the rows are not in order of class_index, 0 to {len(indices) - 1}")
    try:
        hierarchy = Hierarchy(tuple(table["wnid"].to_pylist()), table["parent_index"].to_numpy())
        levels = hierarchy.levels
    except (TreeError, UnicodeDecodeError) as error:
        raise TreeError(f"{name}: {error}") from error
    if not np.array_equal(levels, table["level"].to_numpy()):
        raise TreeError(f"{name}: column level contradicts column parent_index")
    return hierarchy


def class_list_digest(wnids: Sequence[str]) -> str:
    """Return the SHA-256 of a class list, a wnid a line: two datasets with the same digest have the same classes."""
    return hashlib.sha256("".join(f"{wnid}\n" for wnid in wnids).encode()).hexdigest()


def read_class_list(path: Path) -> list[str]:
    """Return the wnids of a text file, one a line; blank lines are passed over.

    Raises:
        TreeError: a line is no wnid, or there is none.
        OSError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError:
        raise TreeError(f"{path} is no text file of wnids, one a line") from None
    wordnet = load_wordnet()
    wnids = []
    for number, line in enumerate(lines, 1):
        if not (wnid := line.strip()):
            continue
        if wnid not in wordnet:
            raise TreeError(
                f"{path}, line {number}: {wnid[:80]!r} is no noun synset of WordNet 3.0 (a wnid such as n02084071)"
            )
        wnids.append(wnid)
    if not wnids:
        raise TreeError(f"{path} lists no wnid; write one a line, such as n02084071")
    return wnids


def _metadata(hierarchy: Hierarchy, labels: Labels) -> Mapping[str, str]:
    inactive = np.flatnonzero(~hierarchy.active).tolist()
    return {
        "in21k.format": FORMAT_VERSION,
        "in21k.version": version("in21k"),
        "in21k.source": labels.source,
        "in21k.parents": labels.rule,
        "in21k.class_list_sha256": class_list_digest(hierarchy.wnids),
        "in21k.level_sizes": " ".join(map(str, hierarchy.level_sizes.tolist())),
        "in21k.inactive_levels": " ".join(map(str, inactive)),
    }


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
