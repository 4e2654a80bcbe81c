"""What a run says of each test image, and what its score would be of images drawn anew from the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.prediction_tables import VAL_PREDICTIONS
from in21k.train.arrays import FloatArray, IntArray
from in21k.train.errors import TrainError
from in21k.train.retrieval.folder import QUERIES

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ImageScores:
    """A score for each of N images; the run's is their mean."""

    keys: Sequence[str]
    """[N]: which images; queries, where those are what is averaged over."""
    values: FloatArray
    """float64 [N], 0 to 1."""


@dataclass(frozen=True, eq=False)
class LabelScores:
    """Scores of C classes for each of N images that have any number of them; the run's is mean average precision."""

    keys: Sequence[str]
    """[N]: which images."""
    scores: npt.NDArray[np.float32]
    """float32 [N, C]: only their order within a class counts."""
    labels: Bools
    """bool [N, C]: which classes an image has."""
    known: Bools | None = None
    """bool [N, C]: of which classes it is known whether an image has them; None for all."""

    def precisions(self, weights: FloatArray) -> FloatArray:
        """Return float64 [R]: mean average precision, were each image there as often as a row of weights says.

        A class that no image of a row has does not count in its mean, as in the run's own score; where no class has
        one, the mean is 0. Equal scores share one threshold.

        Args:
            weights: float64 [R, N], whole numbers.
        """
        total, classes = np.zeros(len(weights)), np.zeros(len(weights))
        for order, hits, ends in self._rankings:
            seen = weights[:, order]
            above = np.cumsum(seen, axis=1)[:, ends]
            found = np.cumsum(seen * hits, axis=1)[:, ends]
            precision = np.divide(found, above, out=np.zeros_like(found), where=above > 0)
            labels = found[:, -1]
            is_there = labels > 0
            gained = (np.diff(found, axis=1, prepend=0) * precision).sum(1)
            total += np.divide(gained, labels, out=np.zeros_like(labels), where=is_there)
            classes += is_there
        return np.divide(total, classes, out=np.zeros_like(total), where=classes > 0)

    @cached_property
    def _rankings(self) -> list[tuple[IntArray, Bools, IntArray]]:
        """Of each class that an image has: the images by score, which have it, and the last place of equal scores."""
        found = []
        for at in np.flatnonzero(self.labels.any(0)):
            images = np.arange(len(self.labels)) if self.known is None else np.flatnonzero(self.known[:, at])
            order = images[np.argsort(-self.scores[images, at], kind="stable")]
            ranked = self.scores[order, at]
            ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
            found.append((order, self.labels[order, at], ends))
        return found


_DAMAGED = (pa.ArrowException, OSError, LookupError, ValueError, TypeError, AttributeError)
"""What reading a table raises that is not as a run writes it."""

Outcomes = ImageScores | LabelScores

_RANKS = {"val_top1": 1, "val_top5": 5}
"""An image counts for the metric if fewer classes than this are more probable than its own."""


def predicted(run: Path, metric: str) -> Outcomes | None:
    """Return what `val_predictions.parquet` in a run's folder says; None if there is none, or not for this metric.

    Raises:
        TrainError: the file is damaged.
    """
    path = run / VAL_PREDICTIONS
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
        if metric in _RANKS:
            right = table["rank"].to_numpy() < _RANKS[metric]
            return ImageScores(table["key"].to_pylist(), right.astype(np.float64))
        return _label_scores(table) if metric == "val_map" else None
    except _DAMAGED as error:
        raise TrainError(f"{path} is damaged ({one_line(error)}); delete the folder to run it anew") from error


def nothing(_folder: Path, _metric: str) -> Outcomes | None:
    """Return None, for runs that leave nothing by image."""
    return None


def retrieved(folder: Path, metric: str) -> Outcomes | None:
    """Return what the table of queries in a folder of retrieval says, of the queries that are scored.

    Raises:
        TrainError: the table is damaged.
    """
    path = folder / QUERIES
    try:
        table = pq.read_table(path, columns=["key", "average_precision", "first_relevant"])
        table = table.filter(pc.is_valid(table["average_precision"]))
        if metric == "map":
            values = table["average_precision"].to_numpy()
        else:
            values = table["first_relevant"].to_numpy() <= int(metric.rpartition("_")[2])
        return ImageScores(table["key"].to_pylist(), values.astype(np.float64))
    except _DAMAGED as error:
        raise TrainError(f"{path} is damaged ({one_line(error)}); delete {folder} to run it anew") from error


def _label_scores(table: pa.Table) -> LabelScores:
    column = table["scores"].combine_chunks()
    scores = column.flatten().to_numpy().reshape(len(table), -1)
    labels = _hot(table["labels"], scores.shape)
    known = labels | _hot(table["absent"], scores.shape) if "absent" in table.column_names else None
    return LabelScores(table["key"].to_pylist(), scores, labels, known)


def _hot(lists: Any, shape: tuple[int, ...]) -> Bools:
    """Return bool [N, C]: which class indices each list has."""
    array = lists.combine_chunks()
    rows = np.repeat(np.arange(len(array)), np.diff(array.offsets.to_numpy()))
    hot = np.zeros(shape, np.bool_)
    hot[rows, array.flatten().to_numpy()] = True
    return hot
