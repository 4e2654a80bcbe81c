"""What a network says of each validation image, gathered from all ranks and written as the pass goes on.

Scores are means over images; with these rows anyone can compute other means: of a part of the images, of two networks
on the same ones, or of images drawn anew, as a bootstrap does. `per_class.parquet` beside them has those of each class.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed as dist
from torch import Tensor

from in21k.shards_manifest.errors import DatasetError, one_line
from in21k.shards_manifest.markers import PARQUET_START, require_file_place
from in21k.shards_manifest.prediction_tables import DATASET, MODEL, OF_FILE, PER_CLASS, VAL_PREDICTIONS
from in21k.shards_manifest.storage.local_files import atomic_path, make_folder
from in21k.train.arrays import FloatArray
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.per_class import write_per_class
from in21k.train.evaluation.prediction_rows import GuessRows, PredictionRows, SetRows
from in21k.train.losses.schemes import MULTI_LABEL
from in21k.train.model.network import Network

MOST_SCORES = 1 << 27
"""Images times classes, where images have any number of classes: 512 MB of scores. More are written only if asked."""

_GROUP = 1 << 14
"""Images of a row group."""
_VALUES = 1 << 24
"""Values of a row group, at most but for a batch of every rank's."""


class PredictionCollector:
    """Writes what a network says of the batches of a val pass, a row group at a time.

    Nothing waits for the device but once per row group, when all ranks give their rows to the first.
    """

    def __init__(self, rows: PredictionRows, samples: int, ranks: Ranks, missing: Sequence[int] = ()) -> None:
        """Begin.

        Args:
            rows: what is said of each image.
            samples: images of the val split.
            ranks: this rank among the others.
            missing: numbers of images that no batch has a place for.
        """
        self._rows, self._ranks = rows, ranks
        self._numbers = np.delete(np.arange(samples), np.array(missing, np.int64))
        self._most = min(_GROUP, max(_VALUES // rows.width, 1))
        self._batches: list[tuple[Tensor, ...]] = []
        self._waiting, self._seen = 0, 0
        self._keys: Any = None
        self._writer: pq.ParquetWriter | None = None

    def write_to(self, writer: pq.ParquetWriter, keys: Any) -> None:
        """Write to an open file, too, on the first rank; `keys` are the keys of all images of the split."""
        self._writer, self._keys = writer, keys

    def update(self, logits: Tensor, ids: Tensor, valid: Tensor) -> None:
        """Take a batch; every rank must call it equally often, with batches of equal size if there are several.

        Args:
            logits: [B, C] in level order.
            ids: int64 [B].
            valid: bool [B]; the others are left out.
        """
        self._batches.append((torch.where(valid, ids, -1), *self._rows.of_batch(logits, ids)))
        self._waiting += len(ids) * self._ranks.world_size
        if self._waiting >= self._most:
            self.flush()

    def flush(self) -> None:
        """Write what has been taken; every rank must call it."""
        if not self._batches:
            return
        columns = [self._of_all_ranks(list(batches)) for batches in zip(*self._batches, strict=True)]
        first, self._seen = self._seen, self._seen + len(columns[0])
        self._batches.clear()
        self._waiting = 0
        ids = columns[0].numpy()
        there = np.flatnonzero(ids >= 0)
        if not (self._ranks.is_first and len(there)):
            return
        found = self._rows.columns(ids[there], [column.numpy()[there] for column in columns[1:]])
        if self._writer is not None:
            keys = self._keys.take(pa.array(self._numbers[first + there]))
            self._writer.write_table(pa.table({"key": keys, **found}, self._writer.schema))

    def _of_all_ranks(self, batches: list[Tensor]) -> Tensor:
        """Return a column of all ranks, which take turns with the batches of a val pass, on the CPU."""
        if self._ranks.world_size == 1:
            return torch.cat(batches).cpu()
        own = torch.stack(batches)
        gathered = [torch.empty_like(own) for _ in range(self._ranks.world_size)]
        dist.all_gather(gathered, own)
        return torch.stack(gathered, 1).flatten(0, 2).cpu()


class Saved:
    """The table of predictions that a block writes, and what it says of each class."""

    def __init__(self, path: Path | None, collector: PredictionCollector, rows: PredictionRows) -> None:
        self.path, self.update, self._rows = path, collector.update, rows

    def per_class(self, precisions: FloatArray) -> pa.Table:
        """Return the table of classes, on the first rank, once the block has ended.

        Args:
            precisions: float64 [C]: average precisions, where images have any number of classes.
        """
        return self._rows.per_class(precisions)


@contextmanager
def saved_predictions(
    path: Path | None,
    data: TrainingData,
    network: Network,
    scheme: str,
    ranks: Ranks,
    *,
    of_sets: bool,
    missing: Sequence[int] = (),
) -> Iterator[Saved]:
    """Write what a network says of the batches that the block passes on; the file is there if the block ends well.

    There is a row per validation image that decodes, in the order of the split: see docs/formats.md.

    Args:
        path: the file; None writes none, and counts what is said of each class.
        data: whose val split it is.
        network: whose classes and name they are.
        scheme: which it was trained with.
        ranks: this rank among the others; the first one writes.
        of_sets: whether rows have the logits of all classes, rather than guesses of images that have one class each.
        missing: numbers of images that no batch has a place for.

    Raises:
        DatasetError: the file cannot be written.
    """
    rows: PredictionRows
    rows = SetRows(data, network.order) if of_sets else GuessRows(data, network.order, scheme, ranks.device)
    collector = PredictionCollector(rows, data.samples("val"), ranks, missing)
    with ExitStack() as stack:
        if ranks.is_first and path is not None:
            schema = rows.schema.with_metadata({DATASET: data.digest, MODEL: network.name})
            temporary = stack.enter_context(atomic_path(path))
            writer = stack.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd"))
            collector.write_to(writer, data.listing("val").keys)
        yield Saved(path, collector, rows)
        collector.flush()


def write_classes_beside(
    saved: Saved, data: TrainingData, network: Network, precisions: FloatArray, output: Path | None = None
) -> pa.Table:
    """Write per_class.parquet beside a table of predictions, if there is one, and return it, on the first rank.

    Args:
        saved: the table of predictions, complete.
        data: the dataset.
        network: whose predictions they are.
        precisions: float64 [C]: average precisions, where images have any number of classes.
        output: another folder that gets the table of classes.
    """
    table = saved.per_class(precisions)
    if saved.path is not None:
        more: Mapping[bytes, str] = {MODEL: network.name}
        for folder in dict.fromkeys((saved.path.parent, output or saved.path.parent)):
            write_per_class(folder / PER_CLASS, table, data, saved.path.name, more)
    return table


def require_predictions_place(path: Path) -> None:
    """Make the folder of a table of predictions, and refuse a place where another file would be lost.

    Raises:
        DatasetError: its name is no .parquet, there is something else than a Parquet file, or the classes beside it are
            those of another table.
    """
    if path.suffix.lower() != ".parquet":
        raise DatasetError(f"--predictions {path}: give a name that ends in .parquet")
    if path.name == PER_CLASS:
        raise DatasetError(
            f"{path}: {PER_CLASS} is the table of classes, which is written beside it; name another file"
        )
    classes = path.with_name(PER_CLASS)
    for each, key, wanted in ((path, DATASET, ""), (classes, OF_FILE, path.name)):
        require_file_place(each, PARQUET_START, "a Parquet file", option="--predictions")
        if not each.exists():
            continue
        found = _metadata(each).get(key, b"").decode("utf-8", "replace")
        if not found or wanted not in ("", found):
            told = f"the table of classes of {found}" if found else "no table of an evaluation"
            raise DatasetError(f"{each} is {one_line(told)}; give --predictions in another folder")
    make_folder(path.parent)


def _metadata(path: Path) -> Mapping[bytes, bytes]:
    """Return the metadata of a Parquet file, none if it is damaged."""
    try:
        return pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return {}


def has_too_many_scores(path: Path, data: TrainingData, ranks: Ranks) -> bool:
    """Return whether a table of the scores of every class would be too large to be written unasked; a note says so."""
    if data.samples("val") * len(data.hierarchy) <= MOST_SCORES:
        return False
    if ranks.is_first:
        size = f"{data.samples('val'):,} images × {len(data.hierarchy):,} classes"
        told = f"no {path.name}: {size} are more scores than {MOST_SCORES:,}"
        print(f"note: {one_line(f'{path.parent}: {told}', None)}", file=sys.stderr, flush=True)
    return True


@contextmanager
def run_predictions(
    run: Path, data: TrainingData, network: Network, config: Config, ranks: Ranks, missing: Sequence[int] = ()
) -> Iterator[Saved | None]:
    """Write RUN/val_predictions.parquet of the batches that the block passes on, where a run's settings ask for it.

    None stands for no table: it is not asked for, or has too many scores; a note on stderr then says so.
    """
    scheme, of_sets = config.loss.scheme, config.loss.scheme in MULTI_LABEL
    if config.run.save_predictions and of_sets and has_too_many_scores(run / VAL_PREDICTIONS, data, ranks):
        yield None
    elif config.run.save_predictions:
        path = run / VAL_PREDICTIONS
        with saved_predictions(path, data, network, scheme, ranks, of_sets=of_sets, missing=missing) as saved:
            yield saved
    else:
        yield None
