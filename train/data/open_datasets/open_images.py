"""Open Images: labels of whole images that people verified, present or absent; of most classes, nobody knows.

What is unknown about an image counts neither in the loss nor in the metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from in21k.shards_manifest.errors import one_line
from in21k.train.arrays import IntArray
from in21k.train.data.interfaces import ABSENT
from in21k.train.data.open_datasets.csv_list import csv_rows
from in21k.train.data.open_datasets.image_files import globbed, safe_name
from in21k.train.data.open_datasets.labeled import LabeledImages, check_listed
from in21k.train.data.open_datasets.listed import ListedDataset, ListedSplit
from in21k.train.data.open_datasets.packed import in_tars, is_there
from in21k.train.errors import TrainError

MOST_BYTES = 16 << 30
"""Of a CSV of labels; the largest has 3 GB."""
MOST_LABELS = 1000
"""Verified for one image."""

_LABELS = "*{split}*annotations-human-imagelabels*.csv"
_NAMES, _TRAINABLE = "*class-descriptions*.csv", "*classes-trainable*.txt"
_IMAGE, _LABEL, _CONFIDENCE = "ImageID", "LabelName", "Confidence"
_HEADINGS = ("LabelName",)
_SPLITS = {"train": ("train",), "val": ("validation", "val")}
"""What files and folders of images call them."""


@dataclass(frozen=True)
class _Verified:
    """The rows of a CSV of labels."""

    images: list[str]
    """[N]: the ids of the images."""
    labels: list[str]
    """The labels that occur."""
    image_of_row: IntArray
    label_of_row: IntArray
    is_present: Any
    """bool, of each row."""


def is_open_images(root: Path) -> bool:
    """Return whether a folder holds verified labels under Open Images' names."""
    return root.is_dir() and bool(globbed(root, _LABELS.format(split="train")) and globbed(root, _NAMES))


def open_open_images(root: Path, annotations: str = "", val: str = "", images: str = "") -> ListedDataset:
    """Return the images for which a CSV has verified labels, with the labels known to be present or absent.

    The classes are the trainable ones if a list of them is there (classes-trainable.txt), and otherwise those that some
    training image shows; other labels are left out.

    Args:
        root: holds the CSVs, and train/ID.jpg (or train_0/ to train_f/) and validation/ID.jpg, or these folders' tars.
        annotations: the CSV of the training images; *train*annotations-human-imagelabels*.csv by default.
        val: that of the validation images; likewise. One without images means no validation.
        images: the folder that holds train/ and validation/; the root by default.

    Raises:
        TrainError: a CSV is missing or damaged, holds labels that nobody verified, or names an image that is missing.
    """
    paths = {"train": _label_file(root, "train", annotations), "val": _label_file(root, "val", val)}
    verified = {split: _read(path) for split, path in paths.items()}
    classes, names = _classes(root, verified["train"])
    folder = Path(images) if images else root
    listed = {split: _images(folder, split, found.images) for split, found in verified.items()}
    placed = in_tars(folder, {str(paths[split]): part for split, part in listed.items()})
    check_listed(placed, movable=True)
    tables = [_label_sets(found, classes, paths[split]) for split, found in verified.items()]
    if not (tables[0] < -1).any():
        raise TrainError(f"{paths['train']} has no label that is verified to be absent (Confidence 0)")
    width = max(table.shape[1] for table in tables)
    label_sets = np.concatenate(
        [np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=-1) for table in tables]
    )
    first = {"train": 0, "val": len(tables[0])}
    splits = {
        split: ListedSplit(part.names, first[split] + np.arange(len(part.names)), placed[str(paths[split])].store)
        for split, part in listed.items()
    }
    return ListedDataset(name=str(root), classes=names, splits=splits, label_sets=label_sets, title="Open Images")


def _label_file(root: Path, split: str, given: str) -> Path:
    if given:
        return Path(given)
    patterns = [_LABELS.format(split=name) for name in _SPLITS[split]]
    found = sorted({path for pattern in patterns for path in globbed(root, pattern)})
    if len(found) != 1:
        option = "--annotations" if split == "train" else "--val"
        raise TrainError(f"{root} has {len(found)} files {patterns[0]}; name the one with {option}")
    return found[0]


def _read(path: Path) -> _Verified:
    """Return the rows of a CSV of labels.

    Raises:
        TrainError: it cannot be read, or a confidence is neither 0 nor 1, as those that a machine gave are.
    """
    types = {_IMAGE: pa.dictionary(pa.int32(), pa.string()), _LABEL: pa.dictionary(pa.int32(), pa.string())}
    options = pacsv.ConvertOptions(
        include_columns=[*types, _CONFIDENCE], column_types={**types, _CONFIDENCE: pa.float64()}
    )
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise TrainError(f"{path} has {size:,} bytes, over the limit of {MOST_BYTES:,}")
        table = pacsv.read_csv(path, convert_options=options).unify_dictionaries()
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise TrainError(f"{path} is not a CSV of {_IMAGE}, {_LABEL} and {_CONFIDENCE}: {one_line(error)}") from error
    confidence = table[_CONFIDENCE].to_numpy()
    if odd := confidence[(confidence != 0) & (confidence != 1)][:1].tolist():
        raise TrainError(f"{path} has the confidence {odd[0]:g}; give labels that people verified, which have 0 or 1")
    (images, image_of_row), (labels, label_of_row) = _encoded(table[_IMAGE]), _encoded(table[_LABEL])
    return _Verified(images, labels, image_of_row, label_of_row, confidence == 1)


def _encoded(column: Any) -> tuple[list[str], IntArray]:
    """Return the values of a dictionary-encoded column, and each row's value by its number."""
    values = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    codes = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return values, np.concatenate(codes).astype(np.int64) if codes else np.empty(0, np.int64)


def _classes(root: Path, train: _Verified) -> tuple[dict[str, int], list[str]]:
    """Return the class index of each label that is a class, and the names of the classes."""
    path = next(iter(globbed(root, _NAMES)), None)
    if path is None:
        raise TrainError(f"{root} has no {_NAMES}, which names the classes; put it there")
    called = {row[0]: row[-1] for row in csv_rows(path) if row[0] not in _HEADINGS}
    trainable = next(iter(globbed(root, _TRAINABLE)), None)
    if trainable is not None:
        chosen = sorted({row[0] for row in csv_rows(trainable)})
    else:
        chosen = sorted(train.labels[at] for at in np.unique(train.label_of_row[train.is_present]).tolist())
    if not chosen:
        raise TrainError(f"{root}: no training image has a verified label (Confidence 1)")
    if unknown := [label for label in chosen if label not in called]:
        raise TrainError(f"{path} does not name the class {unknown[0][:80]!r}")
    counts: dict[str, int] = {}
    for label in chosen:
        counts[called[label]] = counts.get(called[label], 0) + 1
    names = [called[label] if counts[called[label]] == 1 else f"{called[label]} ({label})" for label in chosen]
    return {label: number for number, label in enumerate(chosen)}, names


def _images(folder: Path, split: str, ids: Sequence[str]) -> LabeledImages:
    below = next((name for name in _SPLITS[split] if is_there(folder, name)), _SPLITS[split][0])
    parted = not is_there(folder, below)  # the archives are train_0 to train_f, by the first digit of the id
    names = [
        safe_name(f"{below}_{image[:1]}/{image}.jpg" if parted else f"{below}/{image}.jpg", split) for image in ids
    ]
    return LabeledImages(names, (), str(folder))


def _label_sets(verified: _Verified, classes: dict[str, int], path: Path) -> IntArray:
    """Return int64 [N, K]: of each image, the classes that are present, and those that are absent as ABSENT - class.

    Where rows contradict each other, the class is present.
    """
    class_of_label = np.array([classes.get(label, -1) for label in verified.labels], np.int64)
    found = class_of_label[verified.label_of_row] if len(class_of_label) else np.empty(0, np.int64)
    order = np.lexsort((~verified.is_present, found, verified.image_of_row))
    order = order[found[order] >= 0]
    image, label = verified.image_of_row[order], found[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (image[1:] != image[:-1]) | (label[1:] != label[:-1])
    image, label, present = image[is_first], label[is_first], verified.is_present[order][is_first]
    counts = np.bincount(image, minlength=len(verified.images))
    if len(counts) and counts.max() > MOST_LABELS:
        raise TrainError(f"{path} has {counts.max():,} labels of one image, over the limit of {MOST_LABELS:,}")
    table = np.full((len(counts), max(1, counts.max(initial=0))), -1, np.int64)
    starts = np.cumsum(counts) - counts
    table[image, np.arange(len(image)) - starts[image]] = np.where(present, label, ABSENT - label)
    return table
