"""The hierarchy as a Parquet table: its columns, and how it is built, written and read."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from in21k.tree.class_lists import class_list_digest
from in21k.tree.class_names import ClassNames, wordnet_class_names
from in21k.tree.errors import TreeError
from in21k.tree.glosses import glosses_of
from in21k.tree.hierarchy import ROOT, Hierarchy, Int64Array, build_hierarchy
from in21k.tree.parents import ParentRule, primary_parents
from in21k.tree.words import SEPARATOR, ClassWords

FORMAT_VERSION = "3"

SCHEMA = pa.schema(
    [
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("lemmas", pa.list_(pa.string()), nullable=False),
        pa.field("gloss", pa.string()),  # null where the source has none
        pa.field("parent_index", pa.int32(), nullable=False),  # -1 for roots
        pa.field("parent_wnid", pa.string()),  # null for roots
        pa.field("level", pa.int32(), nullable=False),
        pa.field("path", pa.list_(pa.int32()), nullable=False),  # class indices, from the root to the class itself
        pa.field("path_names", pa.string(), nullable=False),  # "animal > domestic animal > dog"
        pa.field("ancestors", pa.list_(pa.int32()), nullable=False),  # the path without the class itself
        pa.field("wordnet_parents", pa.list_(pa.string()), nullable=False),  # all parents in the source, kept or not
        pa.field("children", pa.list_(pa.int32()), nullable=False),
        pa.field("descendants", pa.int32(), nullable=False),  # number of classes below
        pa.field(
            "leaves", pa.int32(), nullable=False
        ),  # number of classes without children, of the class and all below
        pa.field("images_train", pa.int64(), nullable=False),
        pa.field("images_val", pa.int64(), nullable=False),
        pa.field("images_subtree", pa.int64(), nullable=False),  # train and val images of the class and all below
        pa.field("active", pa.bool_(), nullable=False),  # whether its level has two or more classes, and so a softmax
        pa.field("level_weight", pa.float64(), nullable=False),  # W_k of its level
    ]
)


LATER_COLUMNS = ("ancestors", "leaves")
"""What tables of format 1 lack. Those of formats 1 and 2 lack `gloss`, too, which may be null in any."""

ANY_SCHEMA = pa.schema([field.with_nullable(field.nullable or field.name in LATER_COLUMNS) for field in SCHEMA])
"""The columns of a table of any format: those of SCHEMA, of which some may be missing."""

NAMES = ("name", "lemmas", "gloss")
"""The columns of what classes are called."""

READ_SCHEMA = pa.schema([SCHEMA.field(column) for column in ("class_index", "wnid", "parent_index", "level")])
"""The columns that a hierarchy is read from."""


def wordnet_hierarchy(wnids: Sequence[str], rule: ParentRule = ParentRule.PUBLISHED) -> Hierarchy:
    """Return the hierarchy of a list of wnids under WordNet 3.0.

    Raises:
        TreeError: a wnid is listed twice or is not a noun synset of WordNet 3.0.
    """
    names = wordnet_class_names(wnids, rule)
    return build_hierarchy(wnids, primary_parents(rule), ClassWords(names.names, names.lemmas, names.glosses))


def hierarchy_table(
    hierarchy: Hierarchy,
    rule: ParentRule,
    images_train: Int64Array | None = None,
    images_val: Int64Array | None = None,
) -> pa.Table:
    """Return the table of a WordNet hierarchy, one row per class in order of class index.

    Args:
        hierarchy: classes that are noun synsets of WordNet 3.0.
        rule: the rule that chose the parents, recorded in the table's metadata.
        images_train: int64 [C], training images per class; zeros by default.
        images_val: int64 [C], validation images per class; zeros by default.
    """
    return named_table(hierarchy, wordnet_class_names(hierarchy.wnids, rule), images_train, images_val)


def named_table(
    hierarchy: Hierarchy,
    class_names: ClassNames,
    images_train: Int64Array | None = None,
    images_val: Int64Array | None = None,
) -> pa.Table:
    """Return the table of any hierarchy, one row per class in order of class index.

    Args:
        hierarchy: the classes; their names go into the column `wnid` even if they are not wnids.
        class_names: what the classes are called, and where their parents come from.
        images_train: int64 [C], training images per class; zeros by default.
        images_val: int64 [C], validation images per class; zeros by default.
    """
    zeros = np.zeros(len(hierarchy), np.int64)
    train, val = (zeros if images is None else images for images in (images_train, images_val))
    parents = hierarchy.parents.tolist()
    paths = [hierarchy.path(index) for index in range(len(hierarchy))]
    is_leaf = np.array([not children for children in hierarchy.children], np.int64)
    columns = {
        "class_index": range(len(hierarchy)),
        "wnid": hierarchy.wnids,
        "name": class_names.names,
        "lemmas": class_names.lemmas,
        "gloss": class_names.glosses or [None] * len(hierarchy),
        "parent_index": parents,
        "parent_wnid": [None if parent == ROOT else hierarchy.wnids[parent] for parent in parents],
        "level": hierarchy.levels,
        "path": paths,
        "path_names": [SEPARATOR.join(class_names.names[index] for index in path) for path in paths],
        "ancestors": [path[:-1] for path in paths],
        "wordnet_parents": class_names.all_parents,
        "children": hierarchy.children,
        "descendants": hierarchy.subtree_sums(np.ones_like(zeros)) - 1,
        "leaves": hierarchy.subtree_sums(is_leaf),
        "images_train": train,
        "images_val": val,
        "images_subtree": hierarchy.subtree_sums(train + val),
        "active": hierarchy.active[hierarchy.levels],
        "level_weight": hierarchy.level_weights[hierarchy.levels],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata(_metadata(hierarchy, class_names)))


def as_format_2(table: pa.Table) -> pa.Table:
    """Return a hierarchy table as in21k wrote it before it had glosses."""
    return table.drop_columns("gloss").replace_schema_metadata({**table.schema.metadata, b"in21k.format": b"2"})


def write_table(table: pa.Table, sink: Path | BinaryIO) -> None:
    """Write a hierarchy table as Parquet to a path or an open file."""
    pq.write_table(table, sink, compression="zstd")


def read_hierarchy(source: Path | BinaryIO, name: str) -> Hierarchy:
    """Return the hierarchy in a table that `write_table` wrote.

    Args:
        source: a path or an open file.
        name: how to refer to it in errors.

    Raises:
        TreeError: it is not a hierarchy table, or its rows contradict each other.
    """
    try:
        file = pq.ParquetFile(source)
        names = [SCHEMA.field(name) for name in NAMES if name in file.schema_arrow.names]
        wanted = pa.schema([*READ_SCHEMA, *names], metadata=file.schema_arrow.metadata)
        table = file.read(columns=wanted.names).select(wanted.names).cast(wanted)  # also rejects nulls
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise TreeError(
            f"{name} is not a hierarchy table ({_first_line(error)}); write it again with in21k-prep"
        ) from error
    return hierarchy_of(table, name)


def hierarchy_of(table: pa.Table, name: str) -> Hierarchy:
    """Return the hierarchy in the columns of READ_SCHEMA; it knows names where the table has those of NAMES.

    Args:
        table: the columns, with their types.
        name: how to refer to the table in errors.

    Raises:
        TreeError: the rows contradict each other.
    """
    indices = table["class_index"].to_numpy()
    if not np.array_equal(indices, np.arange(len(indices))):
        raise TreeError(f"{name}: the rows are not in order of class_index, 0 to {len(indices) - 1}")
    try:
        hierarchy = Hierarchy(tuple(table["wnid"].to_pylist()), table["parent_index"].to_numpy(), _words(table))
        levels = hierarchy.levels
    except (TreeError, UnicodeDecodeError) as error:
        raise TreeError(f"{name}: {error}") from error
    if not np.array_equal(levels, table["level"].to_numpy()):
        raise TreeError(f"{name}: column level contradicts column parent_index")
    return hierarchy


def _words(table: pa.Table) -> ClassWords | None:
    if not {"name", "lemmas"} <= set(table.column_names):
        return None
    return ClassWords(table["name"].to_pylist(), table["lemmas"].to_pylist(), glosses_of(table))


def _metadata(hierarchy: Hierarchy, class_names: ClassNames) -> Mapping[str, str]:
    inactive = np.flatnonzero(~hierarchy.active).tolist()
    return {
        "in21k.format": FORMAT_VERSION,
        "in21k.version": version("in21k"),
        "in21k.source": class_names.source,
        "in21k.parents": class_names.rule,
        "in21k.class_list_sha256": class_list_digest(hierarchy.wnids),
        "in21k.level_sizes": " ".join(map(str, hierarchy.level_sizes.tolist())),
        "in21k.inactive_levels": " ".join(map(str, inactive)),
    }


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
