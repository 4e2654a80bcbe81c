"""Food-251, of the iFood 2019 challenge: a list of classes, and a CSV of images and class numbers per split."""

from pathlib import Path

from in21k.shards_manifest.errors import one_line
from in21k.train.data.open_datasets.csv_list import csv_rows
from in21k.train.data.open_datasets.image_files import safe_name
from in21k.train.data.open_datasets.labeled import LabeledImages, check_listed, labeled_dataset
from in21k.train.data.open_datasets.listed import ListedDataset
from in21k.train.errors import TrainError

CLASSES = "class_list.txt"
_PLACES = ("", "annot")
_LISTS = {"train": ("train_info.csv", "train_labels.csv"), "val": ("val_info.csv", "val_labels.csv")}
_FOLDERS = {"train": "train_set", "val": "val_set"}
_MOST_BYTES = 1 << 20
"""Of the list of classes."""


def is_food251(root: Path) -> bool:
    """Return whether a folder holds the lists of Food-251."""
    return _found(root, (CLASSES,)) is not None and _found(root, _LISTS["train"]) is not None


def open_food251(root: Path) -> ListedDataset:
    """Return the images of train_set/ and val_set/, with the classes in the order of their numbers.

    A list of validation images without any means no validation.

    Raises:
        TrainError: a list is missing or damaged, or names an image that is not there or a class that is none.
    """
    classes = _classes(_required(root, (CLASSES,)))
    parts = {split: _images(root, split, len(classes)) for split in _LISTS}
    check_listed({str(_required(root, _LISTS[split])): part for split, part in parts.items()})
    if not parts["train"].names:
        raise TrainError(f"{_required(root, _LISTS['train'])} lists no images")
    title = f"classes of {CLASSES}"
    return labeled_dataset(str(root), classes, parts["train"], parts["val"], title, single_label=True)


def _found(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((path for place in _PLACES for name in names if (path := root / place / name).is_file()), None)


def _required(root: Path, names: tuple[str, ...]) -> Path:
    path = _found(root, names)
    if path is None:
        raise TrainError(f"{root} has no {' or '.join(names)}; put it there, or into {root / _PLACES[1]}")
    return path


def _classes(path: Path) -> list[str]:
    """Return the names of the classes: a line has a number, from 0 on, and a name."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TrainError(f"{path} has {path.stat().st_size:,} bytes, over the limit of {_MOST_BYTES:,}")
        lines = [line.split(maxsplit=1) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
    for number, fields in enumerate(lines):
        if len(fields) != 2 or fields[0] != str(number):
            raise TrainError(f"{path}: line {number + 1} is {' '.join(fields)[:80]!r}, not '{number} NAME'")
    return [fields[1].strip() for fields in lines]


def _images(root: Path, split: str, classes: int) -> LabeledImages:
    path = _required(root, _LISTS[split])
    rows = list(csv_rows(path))
    if rows and not rows[0][-1].isdecimal():
        del rows[0]  # a heading
    for row in rows:
        if len(row) != 2 or not (row[1].isdecimal() and len(row[1]) < 7 and int(row[1]) < classes):
            raise TrainError(f"{path}: {','.join(row)[:80]!r} is not an image and a class from 0 to {classes - 1}")
    names = [safe_name(row[0], str(path)) for row in rows]
    return LabeledImages(names, [(int(row[1]),) for row in rows], str(root / _FOLDERS[split]))
