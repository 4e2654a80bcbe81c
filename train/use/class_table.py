"""The classes of a model by name: the hierarchy table that lies beside it, or in its dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.manifest import HIERARCHY
from in21k.shards_manifest.storage.location import Location, locate
from in21k.train.errors import TrainError
from in21k.tree.class_lists import class_list_digest
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.table import read_hierarchy

_ABOVE = 3
"""Folders above a file of weights that may hold its table: the checkpoint's, that of checkpoints, the run's."""


@dataclass(frozen=True, eq=False)
class ClassTable:
    """C classes, and what they are called."""

    location: Location
    """Of the table."""
    hierarchy: Hierarchy
    names: Sequence[str]
    """[C]."""
    lemmas: Sequence[Sequence[str]]
    """[C]: all words for each class."""

    def path_names(self, index: int) -> list[str]:
        """Return what the classes from the root down to a class are called, itself included."""
        return [self.names[at] for at in self.hierarchy.path(index)]

    def check(self, weights: Path, class_list_sha256: str) -> None:
        """Refuse a model of other classes.

        Raises:
            TrainError: the class lists differ.
        """
        if class_list_digest(self.hierarchy.wnids) != class_list_sha256:
            raise TrainError(f"{self.location.text} lists other classes than those that {weights} was trained on")


def read_class_table(location: Location) -> ClassTable:
    """Return the classes of a hierarchy table.

    Raises:
        DatasetError: there is no such file.
        TreeError: it is no hierarchy table.
    """
    with location.open_input() as file:
        hierarchy = read_hierarchy(file, location.text)
    try:
        with location.open_input() as file:
            columns = pq.read_table(file, columns=["name", "lemmas"])
    except (pa.ArrowException, KeyError) as error:
        raise TrainError(f"{location.text} does not say what its classes are called ({error})") from error
    return ClassTable(location, hierarchy, columns["name"].to_pylist(), columns["lemmas"].to_pylist())


def find_class_table(weights: Path, data: str = "", hierarchy: str = "") -> ClassTable:
    """Return the classes of a file of weights.

    Args:
        weights: the file; a table beside it, or in the run's folder, is taken where no other is named.
        data: a dataset's folder or URI.
        hierarchy: a hierarchy table's path or URI.

    Raises:
        TrainError: there is none.
        TreeError: it is damaged.
    """
    if hierarchy or data:
        return read_class_table(locate(hierarchy) if hierarchy else locate(data).child(HIERARCHY))
    for folder in weights.absolute().parents[:_ABOVE]:
        if (folder / HIERARCHY).is_file():
            return read_class_table(locate(folder / HIERARCHY))
    raise TrainError(f"{weights} has no {HIERARCHY} beside it; name its dataset with --data, or the table: --hierarchy")
