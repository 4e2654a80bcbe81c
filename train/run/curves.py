"""The curves of a run: rows of a CSV file and scalars for TensorBoard."""

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.run.folder import METRICS, TENSORBOARD


@dataclass(frozen=True)
class CurvePoint:
    """One row of the curves; columns that a row does not measure are None."""

    step: int
    """Steps done."""
    epoch: float
    """Epochs done, with the fraction."""
    split: str
    """train: means since the previous row; val: a val pass."""
    loss: float | None
    """None for a val pass that measures none."""
    semantic_top1: float | None = None
    """0 to 1; val only."""
    top1: float | None = None
    """0 to 1; val of single-label schemes only."""
    top5: float | None = None
    """0 to 1; val of single-label schemes only."""
    map: float | None = None
    """Mean average precision, 0 to 1; val of multi-label schemes and of detectors (over COCO's ten overlaps) only."""
    map_micro: float | None = None
    """Average precision of all pairs of an image and a class, 0 to 1; only where images have any number of classes."""
    mistake_distance: float | None = None
    """Mean tree distance of wrong guesses in edges; val only."""
    hierarchical_precision: float | None = None
    """Share of the answers' classes, ancestors included, that are the images', 0 to 1; val only."""
    hierarchical_recall: float | None = None
    """Share of the images' classes, ancestors included, that are answered, 0 to 1; val only."""
    hierarchical_f1: float | None = None
    """Their harmonic mean."""
    consistent_paths: float | None = None
    """Share of images whose most probable classes of each level are a path, 0 to 1; val only."""
    top1_distance: float | None = None
    """Mean height of the lowest common ancestor of an image's class and its level's most probable one; val only."""
    top5_distance: float | None = None
    """The same of the five most probable ones."""
    top20_distance: float | None = None
    """The same of the 20 most probable ones."""
    lr: float | None = None
    """Of the last step."""
    images_per_second: float | None = None
    """Over all ranks."""
    data_wait: float | None = None
    """Share of the time for which the first rank waited for data, 0 to 1."""
    gpu_memory_mb: float | None = None
    """Peak memory that torch has held on the first rank's GPU so far."""
    gradient_norm: float | None = None
    """Mean over the steps, before clipping, without those that overflowed."""
    loss_scale: float | None = None
    """Of float16; None without one."""
    overflows: int | None = None
    """Steps skipped because float16 overflowed; None without a loss scale."""
    skipped: int = 0
    """Images that did not decode since the previous row."""


_COLUMNS = tuple(field.name for field in fields(CurvePoint))


class CurveWriter:
    """Appends to RUN/metrics.csv and RUN/tensorboard."""

    def __init__(self, run: Path, start_step: int, *, validates: bool) -> None:
        """Open both, and drop what an interrupted run wrote after the step from which this one is resumed.

        Args:
            run: the run's folder.
            start_step: steps done.
            validates: whether the val pass after that step is repeated.
        """
        path = run / METRICS
        _drop_after(path, start_step, validates)
        self._file = path.open("a", newline="", encoding="ascii")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._board: Any = SummaryWriter(str(run / TENSORBOARD), purge_step=start_step + 1)

    def write(self, point: CurvePoint) -> None:
        """Append a row; it is in the file when this returns."""
        values = asdict(point)
        self._rows.writerow(["" if values[name] is None else values[name] for name in _COLUMNS])
        self._file.flush()
        for name in _COLUMNS[3:]:
            if values[name] is not None:
                self._board.add_scalar(f"{point.split}/{name}", values[name], point.step)

    def close(self) -> None:
        """Close both."""
        self._file.close()
        self._board.close()


def _drop_after(path: Path, step: int, validates: bool) -> None:
    """Rewrite a CSV with its header and its complete rows up to a step, with or without the step's val pass.

    A file from an older version with fewer columns gets all of them.
    """
    last = (step, "train") if validates else (step, "val")
    rows = []
    if path.exists():
        with path.open(newline="", encoding="ascii", errors="replace") as file:
            rows = [
                row
                for row in csv.DictReader(file, restval="")
                if (row["step"] or "").isdigit() and row["skipped"] and (int(row["step"]), row["split"]) <= last
            ]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="ascii") as file:
        writer = csv.DictWriter(file, _COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
