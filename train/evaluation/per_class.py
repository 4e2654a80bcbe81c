"""What a network makes of the images of each class, counted from what it says of each image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from in21k.shards_manifest.prediction_tables import DATASET, LABELED_SETS, OF_FILE, per_class_schema
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.arrays import FloatArray, IntArray
from in21k.train.data.interfaces import ABSENT, TrainingData
from in21k.train.evaluation.report.curve import information
from in21k.tree.hierarchy import ROOT

_TOP = 5

_SCORES = ("top1", "average_precision")
"""The score that decides: the first where images have one class each."""

_SINGLE = ("wnid", "name", "images", "top1", "confused_with_name", "confused_share")
_SETS = ("wnid", "name", "images", "average_precision", "recall")


class ClassTally:
    """Counts images that have one class each."""

    def __init__(self, data: TrainingData) -> None:
        self._data, self._hierarchy = data, data.hierarchy
        classes = len(self._hierarchy)
        self._information = information(self._hierarchy)
        self._counts = np.zeros((6, classes), np.float64)
        """Images, hits among 1 and 5, summed probabilities, right answers and levels of answers, by class."""
        self._answered = np.zeros(classes, np.float64)
        self._levels = np.zeros((classes, self._hierarchy.num_levels), np.int64)
        self._confused = np.zeros((0, 2), np.int64)
        """Pairs of a class and what its images are taken for, as one number, and how often."""

    def add(self, classes: IntArray, guesses: IntArray, probabilities: FloatArray) -> None:
        """Count N images.

        Args:
            classes: int64 [N]: class indices.
            guesses: int64 [N, 3 + L]: as in `Guesses`, but class indices.
            probabilities: float [N]: of each image's own class.
        """
        guess, rank, answer, by_level = guesses[:, 0], guesses[:, 1], guesses[:, 2], guesses[:, 3:]
        own = self._hierarchy.ancestors[classes]
        levels = np.append(self._hierarchy.levels, -1)[answer]  # -1, no answer, finds the last
        reached = np.take_along_axis(own, np.maximum(levels, 0)[:, None], 1)[:, 0]
        is_right = (answer == ROOT) | (reached == answer)
        columns = (np.ones(len(classes)), rank < 1, rank < _TOP, probabilities, is_right, levels)
        for total, column in zip(self._counts, columns, strict=True):
            np.add.at(total, classes, column)
        np.add.at(self._answered, classes, self._information[answer])
        np.add.at(self._levels, classes, (by_level == own) & (own != ROOT))
        wrong = rank > 0
        pairs, counts = np.unique(classes[wrong] * len(self._hierarchy) + guess[wrong], return_counts=True)
        self._confused = _summed(np.concatenate([self._confused, np.stack([pairs, counts], 1)]))

    def table(self) -> pa.Table:
        """Return the table of classes, without metadata of the dataset."""
        images = self._counts[0]
        top1, top5, probability, right, level = (_shares(values, images) for values in self._counts[1:])
        others, most = self._most_confused()
        names = self._data.hierarchy_table()["name"].to_pylist()
        own_levels = self._hierarchy.levels
        below = np.arange(self._hierarchy.num_levels) > own_levels[:, None]
        by_level = {
            f"semantic_top1_{at}": _column(np.where(below[:, at], np.nan, _shares(self._levels[:, at], images)))
            for at in range(self._hierarchy.num_levels)
        }
        columns = {
            "class_index": np.arange(len(images)),
            "wnid": list(self._hierarchy.wnids),
            "name": names,
            "level": own_levels,
            "images": images.astype(np.int64),
            "top1": _column(top1),
            "top5": _column(top5),
            "probability": _column(np.minimum(probability, 1)),
            "confused_with": pa.array(others, pa.int32(), mask=others < 0),
            "confused_with_name": [names[other] if other >= 0 else None for other in others.tolist()],
            "confused_share": _column(np.where(others < 0, np.nan, _shares(most, images))),
            "answer_accuracy": _column(right),
            "specificity": _column(_shares(self._answered, images).clip(0, 1)),
            "answer_level": _column(level),
            "semantic_top1": _column(_shares(self._levels.sum(1), images * (own_levels + 1))),
            **by_level,
        }
        return pa.table(columns, per_class_schema(self._hierarchy.num_levels, {}))

    def _most_confused(self) -> tuple[IntArray, IntArray]:
        """Return what the images of each class are most often taken for, int64 [C], -1 for nothing; and how often."""
        others, most = np.full(len(self._hierarchy), -1), np.zeros(len(self._hierarchy), np.int64)
        classes, guesses = np.divmod(self._confused[:, 0], len(self._hierarchy))
        order = np.lexsort((guesses, -self._confused[:, 1], classes))  # the first of equals is the first by class index
        found, first = np.unique(classes[order], return_index=True)
        others[found], most[found] = guesses[order][first], self._confused[order[first], 1]
        return others, most


class SetTally:
    """Counts images that have any number of classes; a class counts as seen where its probability is at least 0.5."""

    def __init__(self, data: TrainingData) -> None:
        self._data, self._knows_all = data, not (data.label_sets <= ABSENT).any()
        self._counts = np.zeros((4, len(data.hierarchy)), np.float64)
        """Images, those of them where it is seen, summed probabilities, and all images where it is seen, by class."""

    def add(self, sets: IntArray, scores: npt.NDArray[np.float32]) -> None:
        """Count N images.

        Args:
            sets: int64 [N, K]: label sets, as `TrainingData.label_sets` has them.
            scores: float32 [N, C]: logits by class index.
        """
        image, place = np.nonzero(sets >= 0)
        classes, known = sets[image, place], None if self._knows_all else _known(sets, scores.shape)
        logits = scores[image, classes].astype(np.float64)
        columns: list[npt.NDArray[Any]] = [np.ones(len(classes)), logits >= 0, 1 / (1 + np.exp(-logits))]
        for total, column in zip(self._counts, columns, strict=False):
            np.add.at(total, classes, column)
        said = scores >= 0
        self._counts[3] += (said if known is None else said & known).sum(0)

    def table(self, precisions: FloatArray) -> pa.Table:
        """Return the table of classes, without metadata of the dataset.

        Args:
            precisions: float64 [C]: average precision, NaN for classes without images.
        """
        images, seen, probability, everywhere = self._counts
        columns = {
            "class_index": np.arange(len(images)),
            "wnid": list(self._data.hierarchy.wnids),
            "name": self._data.hierarchy_table()["name"].to_pylist(),
            "images": images.astype(np.int64),
            "average_precision": _column(np.where(images > 0, precisions, np.nan)),
            "recall": _column(_shares(seen, images)),
            "precision": _column(_shares(seen, everywhere)),
            "probability": _column(_shares(probability, images)),
        }
        return pa.table(columns, LABELED_SETS)


def write_per_class(
    path: Path, table: pa.Table, data: TrainingData, predictions: str, more: Mapping[bytes, str]
) -> None:
    """Write the table of classes.

    Args:
        path: the file.
        table: of a tally.
        data: the dataset, whose digest it keeps.
        predictions: the name of the table of images beside it.
        more: other metadata.
    """
    metadata = {DATASET: data.digest, OF_FILE: predictions, **more}
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


def worst_classes(table: pa.Table, count: int) -> list[dict[str, Any]]:
    """Return the classes with the lowest score, at most this many; of equal ones those with more images come first.

    Args:
        table: of all classes, as `per_class.parquet` has it; those without images are left out.
        count: of classes.
    """
    score = next(name for name in _SCORES if name in table.column_names)
    there = table.filter(pc.and_(pc.greater(table["images"], 0), pc.is_valid(table[score])))
    order = [(score, "ascending"), ("images", "descending"), ("class_index", "ascending")]
    rows: list[dict[str, Any]] = there.sort_by(order).slice(0, count).to_pylist()
    shown = _SINGLE if score == _SCORES[0] else _SETS
    return [{name: row[name] for name in shown} for row in rows]


def _known(sets: IntArray, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return bool [N, C]: whether the data say of a class that it is in an image or not."""
    known = np.zeros(shape, np.bool_)
    image, place = np.nonzero(sets >= 0)
    known[image, sets[image, place]] = True
    image, place = np.nonzero(sets <= ABSENT)
    known[image, ABSENT - sets[image, place]] = True
    return known


def _summed(pairs: IntArray) -> IntArray:
    """Return int64 [M, 2]: the first column without repeats, ascending, and the sums of the second."""
    found, place = np.unique(pairs[:, 0], return_inverse=True)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, place, pairs[:, 1])
    return np.stack([found, sums], 1)


def _shares(values: npt.NDArray[Any], images: FloatArray) -> FloatArray:
    """Return values divided by images, NaN where there are none."""
    shares: FloatArray = np.divide(values, images, out=np.full(len(images), np.nan), where=images > 0)
    return shares


def _column(values: FloatArray) -> pa.Array:
    """Return a column that is null where a value is NaN, of nine digits: sums of floats depend on their order."""
    return pa.array([None if value != value else float(f"{value:.9g}") for value in values.tolist()], pa.float64())
