"""What a network says of each validation image, gathered from all ranks and written to a run's folder.

Scores are means over images; with these rows anyone can compute other means: of a part of the images, of two networks
on the same ones, or of images drawn anew, as a bootstrap does.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed as dist
from torch import Tensor

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.arrays import IntArray
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import ABSENT, TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.losses.schemes import SINGLE_LABEL
from in21k.train.model.level_order import LevelOrder
from in21k.train.run.folder import VAL_PREDICTIONS

MOST_SCORES = 1 << 27
"""Images times classes, where images have any number of classes: 512 MB of scores. More are not kept."""

_DATASET = b"in21k.dataset"
"""The key of the file's metadata under which the digest of the dataset stands."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says of the N validation images that decode, in order of their numbers."""

    numbers: IntArray
    """int64 [N]: of the images in the split."""
    label_ids: IntArray
    """int64 [N]: rows of the data's label sets."""
    guesses: IntArray | None
    """int64 [N]: the most probable class of each image; None where images have any number of classes."""
    ranks: IntArray | None
    """int64 [N]: how many classes are more probable than the image's own; None likewise."""
    scores: npt.NDArray[np.float32] | None
    """float32 [N, C]: the logits by class index, where images have any number of classes; otherwise None."""


class PredictionCollector:
    """Keeps what a network says of the batches of a val pass; nothing waits for the device before `gather`."""

    def __init__(self, data: TrainingData, order: LevelOrder, scheme: str, ranks: Ranks) -> None:
        """Begin.

        Args:
            data: whose val split it is.
            order: of the network's classes.
            scheme: one with a single softmax over all classes, or with several labels.
            ranks: this rank among the others.
        """
        self._data, self._order, self._ranks = data, order, ranks
        self._row_of_class = torch.from_numpy(order.row_of_class).to(ranks.device)
        self._is_single = scheme in SINGLE_LABEL
        self._is_kept = self._is_single or data.samples("val") * len(order) <= MOST_SCORES
        self._batches: list[tuple[Tensor, ...]] = []

    def update(self, logits: Tensor, ids: Tensor, valid: Tensor) -> None:
        """Keep a batch.

        Args:
            logits: [B, C] in level order.
            ids: int64 [B].
            valid: bool [B]; the others are left out.
        """
        if not self._is_kept:
            return
        marked = torch.where(valid, ids, -1)
        if self._is_single:
            self._batches.append((marked, *self._ranked(logits, ids)))
        else:
            self._batches.append((marked, self._order.to_classes(logits, dim=1).float()))

    def _ranked(self, logits: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best row of each image, and how many are before its own; of equal ones the first is better."""
        rows = self._row_of_class[ids][:, None]
        own, earlier = logits.gather(1, rows), torch.arange(logits.shape[1], device=logits.device) < rows
        best = (logits == logits.amax(1, keepdim=True)).to(torch.int8).argmax(1)
        return best, ((logits > own) | ((logits == own) & earlier)).sum(1)

    def save(self, run: Path, missing: Sequence[int] = ()) -> None:
        """Write what all ranks kept into a run's folder; every rank must call it, after batches of equal size.

        Args:
            run: the run's folder.
            missing: numbers of images that no batch had a place for.
        """
        found = self._gather(missing) if self._is_kept else None
        if self._ranks.is_first:
            write_predictions(run, self._data, found)

    def _gather(self, missing: Sequence[int]) -> Predictions:
        columns = [self._of_all_ranks(list(batches)) for batches in zip(*self._batches, strict=True)]
        self._batches.clear()
        ids = columns[0].numpy()
        there = np.flatnonzero(ids >= 0)
        numbers = np.delete(np.arange(self._data.samples("val")), np.array(missing, np.int64))[there]
        ids, others = ids[there], [column.numpy()[there] for column in columns[1:]]
        if not self._is_single:
            return Predictions(numbers, ids, None, None, others[0])
        return Predictions(numbers, ids, self._order.class_of_row[others[0]], others[1], None)

    def _of_all_ranks(self, batches: list[Tensor]) -> Tensor:
        """Return a column of all ranks, which take turns with the batches of a val pass, on the CPU."""
        if self._ranks.world_size == 1:
            return torch.cat(batches).cpu()
        own = torch.stack(batches)
        gathered = [torch.empty_like(own) for _ in range(self._ranks.world_size)]
        dist.all_gather(gathered, own)
        return torch.stack(gathered, 1).flatten(0, 2).cpu()


def collector_of(data: TrainingData, order: LevelOrder, config: Config, ranks: Ranks) -> PredictionCollector | None:
    """Return what keeps a run's predictions; None where its settings do not ask for them."""
    return PredictionCollector(data, order, config.loss.scheme, ranks) if config.run.save_predictions else None


def write_predictions(run: Path, data: TrainingData, predictions: Predictions | None) -> None:
    """Write RUN/val_predictions.parquet: a row per validation image that decodes, in the order of the split.

    Where each image has one class: key, class_index, guess, and rank, the number of classes more probable than its
    own, so that top-1 is the share of the rows with rank 0. Where images have any number of classes: key, labels,
    absent (only where the data know some classes alone), and scores, the logits by class index.

    Args:
        run: the run's folder.
        data: whose val split it is.
        predictions: None if they are too many; a note on stderr then says so.
    """
    if predictions is None:
        size = f"{data.samples('val'):,} images × {len(data.hierarchy):,} classes"
        told = f"no {VAL_PREDICTIONS}: {size} are more scores than {MOST_SCORES:,}"
        print(f"note: {one_line(f'{run}: {told}', None)}", file=sys.stderr, flush=True)
        return
    keys = data.listing("val").keys.take(pa.array(predictions.numbers))
    table = pa.table({"key": keys, **_columns(data, predictions)})
    with atomic_path(run / VAL_PREDICTIONS) as temporary:
        pq.write_table(table.replace_schema_metadata({_DATASET: data.digest}), temporary, compression="zstd")


def _columns(data: TrainingData, predictions: Predictions) -> dict[str, Any]:
    if predictions.scores is None:
        assert predictions.guesses is not None
        assert predictions.ranks is not None
        columns = (predictions.label_ids, predictions.guesses, predictions.ranks)
        return {
            name: pa.array(values, pa.int32())
            for name, values in zip(("class_index", "guess", "rank"), columns, strict=True)
        }
    sets, classes = data.label_sets[predictions.label_ids], predictions.scores.shape[1]
    columns_of_lists = {"labels": _lists(sets, sets >= 0)}
    if (sets <= ABSENT).any():
        columns_of_lists["absent"] = _lists(ABSENT - sets, sets <= ABSENT)
    flat = pa.array(predictions.scores.reshape(-1), pa.float32())
    return {**columns_of_lists, "scores": pa.FixedSizeListArray.from_arrays(flat, classes)}


def _lists(values: IntArray, chosen: Any) -> pa.ListArray:
    """Return a list per row, of the values that are chosen."""
    ends = np.concatenate([[0], np.cumsum(chosen.sum(1))])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values[chosen], pa.int32()))
