"""The names of a model's classes, from the hierarchy table beside the model or in its dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from in21k.shards_manifest.manifest import HIERARCHY, MANIFEST, read_manifest
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location, locate
from in21k.shards_manifest.tables import read_recorded
from in21k.train.errors import TrainError
from in21k.tree.class_lists import class_list_digest
from in21k.tree.glosses import glosses_of
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.table import READ_SCHEMA, SCHEMA, hierarchy_of

_COLUMNS = pa.schema([*READ_SCHEMA, SCHEMA.field("name"), SCHEMA.field("lemmas"), SCHEMA.field("gloss")])

_ABOVE = 3
"""How many folders above a model file may hold its table: the checkpoint's, `checkpoints`, the run's."""


@dataclass(frozen=True, eq=False)
class ClassTable:
    """C classes and their names."""

    location: Location
    """Where the table is."""
    hierarchy: Hierarchy
    names: Sequence[str]
    """[C]."""
    lemmas: Sequence[Sequence[str]]
    """[C]: all words for each class."""
    glosses: Sequence[str | None] = ()
    """[C]: what each class is, where the table says it; empty where it says it of none."""

    def gloss(self, index: int) -> str | None:
        """Return what a class is, None where the table does not say."""
        return self.glosses[index] if self.glosses else None

    def path_names(self, index: int) -> list[str]:
        """Return the names from the root down to a class, its own included."""
        return [self.names[at] for at in self.hierarchy.path(index)]

    def check(self, weights: Path, class_list_sha256: str) -> None:
        """Refuse a model whose classes differ from the table's.

        Raises:
            TrainError: they differ.
        """
        if class_list_digest(self.hierarchy.wnids) != class_list_sha256:
            raise TrainError(f"{self.location.text} lists classes that differ from those that {weights} was trained on")


def read_class_table(location: Location) -> ClassTable:
    """Return the classes of a hierarchy table.

    Raises:
        DatasetError: there is no such file, or it is not a hierarchy table.
        TreeError: its rows contradict each other.
    """
    columns = read_columns(location, _COLUMNS)
    hierarchy = hierarchy_of(columns.select(READ_SCHEMA.names), location.text)
    names, lemmas = columns["name"].to_pylist(), columns["lemmas"].to_pylist()
    return ClassTable(location, hierarchy, names, lemmas, glosses_of(columns))


def find_class_table(weights: Path, data: str = "", hierarchy: str = "") -> ClassTable:
    """Return the class table of a model file.

    Args:
        weights: the model file; without the other arguments, the table is looked for beside it and in the run's folder.
        data: folder or URI of a dataset that has the table.
        hierarchy: path or URI of the table.

    Raises:
        TrainError: there is no table.
        TreeError: the table is damaged.
    """
    if hierarchy or data:
        table = locate(hierarchy) if hierarchy else locate(data).child(HIERARCHY)
        if not hierarchy and locate(data).child(MANIFEST).exists():
            read_recorded(locate(data), read_manifest(locate(data)), HIERARCHY)
        return read_class_table(table)
    for folder in weights.absolute().parents[:_ABOVE]:
        if (folder / HIERARCHY).is_file():
            return read_class_table(locate(folder / HIERARCHY))
    raise TrainError(f"{weights} has no {HIERARCHY} beside it; pass its dataset as --data, or the table as --hierarchy")
