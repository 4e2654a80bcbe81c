"""COCO's metric, as pycocotools computes it: average precision and recall over ten overlaps, by class and by size."""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from in21k.train.arrays import FloatArray, IntArray
from in21k.train.data.open_datasets.boxes import Boxes

NAMES = (
    "map",
    "map50",
    "map75",
    "map_small",
    "map_medium",
    "map_large",
    "mar_1",
    "mar_10",
    "mar_100",
    "mar_small",
    "mar_medium",
    "mar_large",
)
"""COCO's twelve numbers, in its order: mean average precision over the overlaps 0.5 to 0.95, at 0.5, at 0.75, of small,
medium and large objects; mean average recall with 1, 10 and 100 boxes per image, of small, medium and large objects."""


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """What a detector finds in an image: K boxes."""

    boxes: FloatArray
    """float64 [K, 4]: left, top, right and bottom in pixels of the image's file."""
    classes: IntArray
    """int64 [K]: class indices."""
    scores: FloatArray
    """float64 [K], 0 to 1."""


@dataclass(frozen=True, eq=False)
class CocoScores:
    """COCO's metric."""

    numbers: Mapping[str, float | None]
    """By `NAMES`, each 0 to 1; None where there are no such objects."""
    by_class: FloatArray
    """float64 [C, 2]: average precision of each class, over all overlaps and at 0.5; NaN without objects."""


def require_metric() -> None:
    """Refuse to begin without pycocotools, which a long run would miss at its end.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    import pycocotools.cocoeval  # noqa: F401 - is it installed?


def coco_scores(truth: Boxes, found: Mapping[int, ImageBoxes], classes: int) -> CocoScores:
    """Return COCO's metric of what was found.

    Args:
        truth: the objects of N images; crowds count neither for nor against a detector.
        found: by image, of those that were looked at; others do not count.
        classes: C.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(io.StringIO()):  # it prints its progress and its table
        sides = [_indexed(COCO(), len(truth), classes, each) for each in (_stated(truth), _answers(found))]
        judge = COCOeval(*sides, iouType="bbox")
        judge.params.imgIds = [row + 1 for row in sorted(found)]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    numbers = {name: _known(value) for name, value in zip(NAMES, judge.stats.tolist(), strict=True)}
    return CocoScores(numbers, _by_class(judge.eval["precision"]))


def _indexed(side: Any, images: int, classes: int, annotations: list[dict[str, Any]]) -> Any:
    """Return pycocotools' index of annotations; all ids begin with 1, as 0 is no match to it."""
    side.dataset = {
        "images": [{"id": row + 1} for row in range(images)],
        "categories": [{"id": index + 1} for index in range(classes)],
        "annotations": [{"id": number, **each} for number, each in enumerate(annotations, 1)],
    }
    side.createIndex()
    return side


def _stated(truth: Boxes) -> list[dict[str, Any]]:
    owners = np.repeat(np.arange(len(truth)), np.diff(truth.starts)).tolist()
    columns = owners, truth.classes.tolist(), truth.boxes.tolist(), truth.areas.tolist(), truth.is_crowd.tolist()
    return [
        {"image_id": row + 1, "category_id": index + 1, "bbox": box, "area": area, "iscrowd": int(crowd)}
        for row, index, box, area, crowd in zip(*columns, strict=True)
    ]


def _answers(found: Mapping[int, ImageBoxes]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": row + 1,
            "category_id": index + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "score": score,
            "iscrowd": 0,
        }
        for row, own in sorted(found.items())
        for index, box, score in zip(own.classes.tolist(), _sized(own.boxes), own.scores.tolist(), strict=True)
    ]


def _sized(boxes: FloatArray) -> list[list[float]]:
    """Return boxes as lists of left, top, width and height."""
    sized: list[list[float]] = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    return sized


def _by_class(precision: FloatArray) -> FloatArray:
    """Return float64 [C, 2] from pycocotools' table of overlaps, recalls, classes, sizes and numbers of boxes."""
    all_sizes = precision[:, :, :, 0, -1]
    means = []
    for table in (all_sizes, all_sizes[:1]):
        by_class = table.transpose(2, 0, 1).reshape(table.shape[2], -1)
        means.append(np.where((by_class > -1).all(axis=1), by_class.mean(axis=1), np.nan))
    return np.stack(means, axis=1)


def _known(value: float) -> float | None:
    return None if value < 0 else value
