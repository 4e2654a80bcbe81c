"""The score of each class on the val split, as a table in a run's folder."""

import csv
from dataclasses import dataclass
from pathlib import Path

from in21k.shards_manifest.errors import escaped
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.arrays import FloatArray
from in21k.train.data.interfaces import TrainingData
from in21k.train.run.folder import VAL_CLASSES


@dataclass(frozen=True, eq=False)
class ClassScores:
    """The score of each of C classes."""

    name: str
    """What it is: top1 or average_precision."""
    values: FloatArray
    """float64 [C], by class index: 0 to 1, NaN for classes without val images."""


def write_class_scores(run: Path, data: TrainingData, scores: ClassScores) -> None:
    """Write RUN/val_classes.csv: a row per class in order of class index, with its images and its score.

    The score, 0 to 1, is top1 or average_precision; empty for classes without val images.
    """
    counts = zip(data.images_train.tolist(), data.images_val.tolist(), strict=True)
    with atomic_path(run / VAL_CLASSES) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["class_index", "class", "images_train", "images_val", scores.name])
        values = scores.values.tolist()
        for index, (name, images, value) in enumerate(zip(data.hierarchy.wnids, counts, values, strict=True)):
            score = "" if value != value else float(f"{value:.9g}")  # NaN differs from itself
            rows.writerow([index, escaped(name), *images, score])
