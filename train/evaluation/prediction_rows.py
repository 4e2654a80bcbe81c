"""The rows of a table of predictions: what a batch's logits say, as tensors on the device and then as columns."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from in21k.shards_manifest.prediction_tables import prediction_schema
from in21k.train.arrays import FloatArray, IntArray
from in21k.train.data.interfaces import ABSENT, TrainingData
from in21k.train.evaluation.image_guesses import GuessFinder
from in21k.train.evaluation.per_class import ClassTally, SetTally
from in21k.train.model.level_order import LevelOrder


class PredictionRows(Protocol):
    """One kind of rows."""

    schema: pa.Schema
    """Of the table, without metadata."""
    width: int
    """Values per image, for the memory that they take."""

    def of_batch(self, logits: Tensor, ids: Tensor, /) -> tuple[Tensor, ...]:
        """Return what logits [B, C] in level order say of images with these label ids, int64 [B], as [B, …] each."""

    def columns(self, ids: IntArray, found: list[npt.NDArray[Any]]) -> dict[str, Any]:
        """Return the columns of N images beside their keys, and count the images.

        Args:
            ids: int64 [N].
            found: what `of_batch` returned of them.
        """

    def per_class(self, precisions: FloatArray, /) -> pa.Table:
        """Return the table of classes for all images counted; `precisions` are average precisions by class."""


class GuessRows:
    """A row for an image with one class: the guess, the answer, and the guess at each level."""

    def __init__(self, data: TrainingData, order: LevelOrder, scheme: str, device: torch.device) -> None:
        """Prepare for logits of a scheme on a device."""
        self.schema = prediction_schema(len(order.bounds), {})
        self.width = 2 * len(self.schema)
        self._wnids = np.array(data.hierarchy.wnids, dtype=object)
        self._class_of_row = np.append(order.class_of_row, -1)  # row -1 finds the last
        self._find, self._tally = GuessFinder(order, scheme, device), ClassTally(data)

    def of_batch(self, logits: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        """Return what `GuessFinder` finds."""
        return tuple(self._find(logits, ids))

    def columns(self, ids: IntArray, found: list[npt.NDArray[Any]]) -> dict[str, Any]:
        """Return the columns of `prediction_schema` but the key."""
        rows, shares = found
        guesses = np.where(np.arange(rows.shape[1]) == 1, rows, self._class_of_row[rows])  # ranks are no rows
        self._tally.add(ids, guesses, shares[:, 0])
        columns: dict[str, Any] = {
            "class_index": ids,
            "wnid": self._wnids[ids],
            "guess": guesses[:, 0],
            "rank": guesses[:, 1],
            "probability": shares[:, 0],
            "guess_probability": shares[:, 1],
        }
        names = ["answer", *(f"guess_{level}" for level in range(rows.shape[1] - 3))]
        for at, name in enumerate(names, 2):
            of_guess = f"{name}_probability" if at == 2 else name.replace("guess", "probability")
            columns[name] = pa.array(guesses[:, at], pa.int32(), mask=guesses[:, at] < 0)
            columns[of_guess] = pa.array(shares[:, at], pa.float32(), mask=guesses[:, at] < 0)
        return columns

    def per_class(self, _: FloatArray) -> pa.Table:
        """Return the table of classes."""
        return self._tally.table()


class SetRows:
    """A row for an image with any number of classes: its classes, and the logit of every class."""

    def __init__(self, data: TrainingData, order: LevelOrder) -> None:
        """Prepare for logits in this order."""
        self._sets, self._order, self._tally = data.label_sets, order, SetTally(data)
        self.width = len(order)
        self._has_absent = bool((self._sets <= ABSENT).any())
        lists = ["labels", *(["absent"] if self._has_absent else [])]
        self.schema = pa.schema(
            [
                pa.field("key", pa.string(), nullable=False),
                *(pa.field(name, pa.list_(pa.int32())) for name in lists),
                pa.field("scores", pa.list_(pa.float32(), len(order))),
            ]
        )

    def of_batch(self, logits: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        """Return the logits by class index."""
        return (self._order.to_classes(logits, dim=1).float(),)

    def columns(self, ids: IntArray, found: list[npt.NDArray[Any]]) -> dict[str, Any]:
        """Return `labels`, `absent` where the data say so, and `scores`."""
        sets, scores = self._sets[ids], found[0]
        self._tally.add(sets, scores)
        columns = {"labels": _lists(sets, sets >= 0)}
        if self._has_absent:
            columns["absent"] = _lists(ABSENT - sets, sets <= ABSENT)
        flat = pa.array(scores.reshape(-1), pa.float32())
        return {**columns, "scores": pa.FixedSizeListArray.from_arrays(flat, scores.shape[1])}

    def per_class(self, precisions: FloatArray) -> pa.Table:
        """Return the table of classes."""
        return self._tally.table(precisions)


def _lists(values: IntArray, chosen: Any) -> pa.ListArray:
    """Return a list per row, of the values that are chosen."""
    ends = np.concatenate([[0], np.cumsum(chosen.sum(1))])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values[chosen], pa.int32()))
