"""Images with boxes: a dataset whose images have objects, each a class and a box in the image."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from in21k.shards_manifest.errors import escaped
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.arrays import FloatArray, IntArray
from in21k.train.data.open_datasets.listed import ListedDataset

SKIPPED_BOXES = "skipped_boxes.csv"

LEAST_SIDE = 0.01
"""Pixels; what remains of a box within its image is larger both ways, so that float32 keeps its corners apart."""


class SkippedBox(NamedTuple):
    """An annotation that is not used as it stands, and why."""

    file: str
    """The annotation file."""
    annotation: str
    """Its id there."""
    image: str
    """The image's file name, or the id that no image has."""
    category: str
    """The category's id."""
    box: str
    """As it is stated."""
    reason: str
    is_kept: bool = False
    """Whether it counts nevertheless: training uses the part of it that lies in the image."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """The objects of N images: M boxes, sorted by image."""

    starts: IntArray
    """int64 [N + 1]: where each image's boxes begin; the last is M."""
    boxes: FloatArray
    """float64 [M, 4]: left, top, width and height in pixels, as the annotations state them."""
    classes: IntArray
    """int64 [M]: class indices."""
    is_crowd: npt.NDArray[np.bool_]
    """[M]: whether it is a crowd of objects, which is neither learned nor held against a detector."""
    areas: FloatArray
    """float64 [M]: of the objects in pixels, by which COCO's metric calls them small, medium or large."""
    sizes: IntArray
    """int64 [N, 2]: width and height of each image."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.sizes)

    def of(self, row: int) -> tuple[FloatArray, IntArray]:
        """Return what training learns of an image: its boxes without crowds, and their classes.

        Returns:
            float64 [K, 4] of left, top, right and bottom, within the image, and int64 [K].
        """
        own = slice(int(self.starts[row]), int(self.starts[row + 1]))
        single = ~self.is_crowd[own]
        return clipped(self.boxes[own][single], self.sizes[row]), self.classes[own][single]

    def rows(self, rows: Sequence[int]) -> "Boxes":
        """Return the boxes of some of the images."""
        chosen = np.asarray(rows, np.int64)
        counts = np.diff(self.starts)[chosen]
        spans = [np.arange(self.starts[row], self.starts[row + 1]) for row in chosen.tolist()]
        members = np.concatenate([np.empty(0, np.int64), *spans])
        return Boxes(
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            boxes=self.boxes[members],
            classes=self.classes[members],
            is_crowd=self.is_crowd[members],
            areas=self.areas[members],
            sizes=self.sizes[chosen],
        )

    def filled(self) -> list[int]:
        """Return the rows of the images with anything to learn: a box that is no crowd."""
        singles = np.concatenate([[0], np.cumsum(~self.is_crowd)])
        found: list[int] = np.flatnonzero(singles[self.starts[1:]] > singles[self.starts[:-1]]).tolist()
        return found

    def sets(self) -> list[list[int]]:
        """Return the classes of each image, ascending, crowds included."""
        starts = self.starts.tolist()
        return [sorted(set(self.classes[a:b].tolist())) for a, b in pairwise(starts)]


def clipped(boxes: FloatArray, size: IntArray) -> FloatArray:
    """Return boxes as float64 [K, 4] of left, top, right and bottom, cut off at the edges of the image.

    Args:
        boxes: [K, 4] of left, top, width and height.
        size: [2]: width and height of the image.
    """
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    cut: FloatArray = np.clip(corners, 0, np.tile(size, 2))
    return cut


@dataclass(frozen=True, eq=False, kw_only=True)
class BoxData(ListedDataset):
    """Images with boxes in the splits `train` and `val`; an image's label set has the classes of its boxes."""

    boxes: Mapping[str, Boxes]
    """By split, in the order in which the images are listed."""
    skipped_boxes: tuple[SkippedBox, ...] = ()
    """The annotations that are not used as they stand."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what `ListedDataset.digest` covers, and of all boxes."""
        digest = hashlib.sha256(super().digest.encode())
        for split in ("train", "val"):
            own = self.boxes[split]
            for array in (own.starts, own.boxes, own.classes, own.is_crowd, own.areas, own.sizes):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def first_label(self, split: str) -> int:
        """Return the number of the first label set of a split; its images have consecutive ones, as they are listed."""
        return 0 if split == "train" else len(self.boxes["train"])

    def box_counts(self, split: str) -> IntArray:
        """Return int64 [C]: the boxes of each class in a split, without crowds."""
        own = self.boxes[split]
        return np.bincount(own.classes[~own.is_crowd], minlength=len(self.classes)).astype(np.int64)


def with_boxes(listed: ListedDataset, boxes: Mapping[str, Boxes], skipped: tuple[SkippedBox, ...]) -> BoxData:
    """Return a dataset with the boxes of its images."""
    own = {field.name: getattr(listed, field.name) for field in fields(ListedDataset)}
    return BoxData(**own, boxes=boxes, skipped_boxes=skipped)


def write_skipped_boxes(run: Path, data: BoxData) -> None:
    """Write RUN/skipped_boxes.csv: a row per annotation that is not used as it stands; no rows if all are."""
    with atomic_path(run / SKIPPED_BOXES) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file", "annotation", "image", "category", "box", "reason", "used"])
        for each in data.skipped_boxes:
            texts = [escaped(text) for text in each[:6]]
            rows.writerow([*texts, "clipped" if each.is_kept else "no"])
