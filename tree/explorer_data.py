"""What the explorer shows beyond the tree: measures per class, pictures, what was left out, and what a model says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from in21k.tree.errors import TreeError
from in21k.tree.explorer_packing import (
    Columns,
    packed_labels,
    packed_numbers,
    packed_pairs,
    packed_shares,
    packed_texts,
    steps_of,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class MeasureKind(StrEnum):
    """What the values of a measure are, which decides how they are written and what a subtree has."""

    COUNT = "count"
    """Whole numbers; a subtree has their sum."""
    SHARE = "share"
    """0 to 1, shown in percent; a subtree has their mean, by weight."""
    NUMBER = "number"
    """Any numbers; a subtree has their mean, by weight."""


class Better(StrEnum):
    """Which values of a measure are good, which decides colors and what "worst first" means."""

    HIGH = "high"
    LOW = "low"
    NEITHER = "neither"


@dataclass(frozen=True, eq=False)
class Measure:
    """A value per class by which the page colors, sorts and filters, and which it lists and exports."""

    name: str
    """What the page calls it, such as "top-1 accuracy"; unique."""
    kind: MeasureKind
    values: FloatArray
    """float64 [C]; NaN where the class has none."""
    help: str = ""
    """A sentence that says what it is."""
    better: Better = Better.NEITHER
    weights: FloatArray | None = None
    """float64 [C]: what a class counts in a subtree's mean, such as its val images; one each by default."""

    def to_json(self, classes: int, columns: Columns) -> dict[str, Any]:
        """Return what the page's script reads; weights are put among the columns.

        Raises:
            TreeError: there is not a value per class.
        """
        for column in (self.values, self.weights):
            if column is not None and column.shape != (classes,):
                raise TreeError(f"measure {self.name!r} has {column.shape} values for {classes} classes")
        record: dict[str, Any] = {"name": self.name, "kind": self.kind, "help": self.help, "better": self.better}
        record["values"] = (packed_shares if self.kind is MeasureKind.SHARE else packed_numbers)(self.values)
        return record if self.weights is None else record | {"weights": columns.add(self.weights)}


@dataclass(frozen=True, slots=True)
class Picture:
    """A sample of a class, small enough to embed."""

    image: bytes
    """JPEG."""
    key: str
    split: str
    shard: str
    """The path of its shard in the dataset."""
    guess: int = -1
    """The class index that a model answers with; -1 if none was asked."""
    probability: float | None = None
    """Of that answer."""


@dataclass(frozen=True, slots=True)
class DroppedClass:
    """A class of the dump that is not in the dataset."""

    wnid: str
    name: str
    """Empty if it has none."""
    files: int
    reason: str


@dataclass(frozen=True, eq=False)
class Census:
    """What the dump held, for the plots: the classes that are not in the tree, and why things were rejected."""

    min_images: int
    """The smallest number of files for which a class is kept."""
    kept: IntArray
    """int64 [C]: files of each class in the dump, -1 for a class that was not there."""
    dropped: Sequence[DroppedClass]
    rejects: Sequence[tuple[str, str, int, Mapping[int, int]]]
    """Stage, reason, how many, and how many of each class index; what belongs to no class is only in the total."""


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Images of a class that a model takes for another class."""

    truth: int
    guess: int
    images: int


@dataclass(frozen=True, slots=True)
class RankedClasses:
    """A list of classes in an order of its own, such as the worst ones."""

    title: str
    help: str
    measure: str
    """The name of the measure whose value stands beside each class."""
    classes: Sequence[int]
    """Class indices, first ones first."""


@dataclass(frozen=True, eq=False)
class Overlay:
    """What a model does, laid over the tree."""

    title: str
    """Whose answers they are, such as the run's name."""
    measures: Sequence[Measure] = ()
    """The first one colors the map when the page opens."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What is stated about the model, in this order."""
    lists: Sequence[RankedClasses] = ()
    pairs: Sequence[ConfusedPair] = ()
    """The page shows the most frequent ones first."""
    pictures: Mapping[int, Sequence[Picture]] = field(default_factory=dict)
    """By true class; right ones have it as their guess."""

    def to_json(self) -> dict[str, Any]:
        """Return what the page's script reads, without measures and pictures, which stand with the others."""
        return {
            "title": self.title,
            "facts": [[name, value] for name, value in self.facts.items()],
            "measures": [measure.name for measure in self.measures],
            "lists": [
                {"title": ranked.title, "help": ranked.help, "measure": ranked.measure, "classes": [*ranked.classes]}
                for ranked in self.lists
            ],
            "pairs": packed_pairs([(pair.truth, pair.guess, pair.images) for pair in self.pairs]),
        }


def census_json(census: Census, images: IntArray) -> dict[str, Any]:
    """Return what the page's script reads of a census.

    Args:
        census: of C classes.
        images: int64 [C]: the images that the dataset has of each; most of a class's files are among them.
    """
    dropped = sorted(census.dropped, key=lambda each: each.wnid)
    reasons = sorted({each.reason for each in dropped})
    return {
        "min": census.min_images,
        "kept": np.where(census.kept < 0, -1 - images, census.kept - images).tolist(),
        "dropped": {
            "wnids": packed_labels([each.wnid for each in dropped]),
            "names": packed_texts([each.name for each in dropped]),
            "files": [each.files for each in dropped],
            "reasons": [reasons.index(each.reason) for each in dropped],
        },
        "reasons": reasons,
        "rejects": [[stage, reason, count, *_sparse(classes)] for stage, reason, count, classes in census.rejects],
    }


def _sparse(classes: Mapping[int, int]) -> tuple[list[int], list[int]]:
    """Return which classes have some, each as what it is above the one before, and how many."""
    indices = sorted(map(int, classes))
    return steps_of(indices), [int(classes[index]) for index in indices]
