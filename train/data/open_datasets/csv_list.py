"""A CSV of images and their labels, one image per line: `path,label` or `path,label,label,…`."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from in21k.shards_manifest.errors import one_line
from in21k.train.data.open_datasets.image_files import EXTENSIONS, safe_name
from in21k.train.data.open_datasets.labeled import (
    NO_IMAGES,
    LabeledImages,
    check_listed,
    held_out,
    labeled_dataset,
)
from in21k.train.data.open_datasets.listed import ListedDataset
from in21k.train.errors import TrainError

MOST_BYTES = 1 << 30
"""Of a CSV."""
MOST_LABELS = 1000
"""Of one image."""
MOST_CLASSES = 1 << 20


@dataclass(frozen=True)
class _Rows:
    """A list as it was read."""

    source: str
    names: list[str]
    labels: list[list[str]]


def is_csv_list(path: Path) -> bool:
    """Return whether a path is a CSV file."""
    return path.suffix.lower() == ".csv" and path.is_file()


def open_csv_list(path: Path, images: str = "", val: str = "", val_share: float = 0.0) -> ListedDataset:
    """Return the images that a CSV lists; where one of them has several labels, each may have any number of classes.

    Args:
        path: lists the training images; the first row may be a heading.
        images: the folder in which the paths begin; the CSV's own by default.
        val: a CSV of validation images in the same folder; one without images means no validation.
        val_share: without the latter, the share to hold out, from 0 to 1.

    Raises:
        TrainError: a list cannot be read, or names an image that is missing, listed twice or outside the folder, or a
            label that no training image has.
    """
    folder = Path(images) if images else path.parent
    if not folder.is_dir():
        raise TrainError(f"--images {folder}: there is no such folder")
    lists = [_read(path, folder)] + ([_read(Path(val), folder)] if val else [])
    if not lists[0].names:
        raise TrainError(f"{path} lists no images; write a line 'path,label' for each")
    if val and val_share:
        raise TrainError(f"{val} lists validation images; leave --val-share out")
    single_label = _is_single_label(lists)
    classes = sorted({label for labels in lists[0].labels for label in labels})
    if len(classes) > MOST_CLASSES:
        raise TrainError(f"{path} has {len(classes):,} labels, over the limit of {MOST_CLASSES:,}")
    index = {label: number for number, label in enumerate(classes)}
    parts = {rows.source: _numbered(rows, index, str(folder)) for rows in lists}
    check_listed(parts, movable=True)
    train, held = parts[str(path)], parts.get(val, NO_IMAGES)
    if not val:
        train, held = held_out(train, val_share, str(path))
    return labeled_dataset(str(path), classes, train, held, f"labels of {path.name}", single_label=single_label)


def csv_rows(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV that are not empty, without blanks around their fields.

    Raises:
        TrainError: it cannot be read, is too large, or is not a CSV in UTF-8.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise TrainError(f"{path} has {size:,} bytes, over the limit of {MOST_BYTES:,}")
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file, strict=True):
                if fields := [field.strip() for field in row] if any(row) else []:
                    yield fields
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise TrainError(f"{path} is not a CSV in UTF-8: {one_line(error)}") from error


def _read(path: Path, folder: Path) -> _Rows:
    rows = list(csv_rows(path))
    if rows and _is_heading(rows[0][0], folder):
        del rows[0]
    names = [safe_name(row[0], str(path)) for row in rows]
    labels = [sorted({label for label in row[1:] if label}) for row in rows]
    for name, found in zip(names, labels, strict=True):
        if len(found) > MOST_LABELS:
            raise TrainError(f"{path} gives {name} {len(found):,} labels, over the limit of {MOST_LABELS:,}")
    return _Rows(str(path), names, labels)


def _is_heading(field: str, folder: Path) -> bool:
    """Return whether the first field of a CSV names no image: no file is there, nor an image's extension."""
    return os.path.splitext(field)[1].lower() not in EXTENSIONS and not (folder / field).is_file()  # noqa: PTH122


def _is_single_label(lists: Sequence[_Rows]) -> bool:
    """Return whether each image has one label.

    Raises:
        TrainError: some images have one and others none, which is rather an oversight than a kind of data.
    """
    if any(len(found) > 1 for rows in lists for found in rows.labels):
        return False
    for rows in lists:
        for name, found in zip(rows.names, rows.labels, strict=True):
            if not found:
                raise TrainError(f"{rows.source} gives {name} no label; write 'path,label'")
    return True


def _numbered(rows: _Rows, index: dict[str, int], folder: str) -> LabeledImages:
    for name, found in zip(rows.names, rows.labels, strict=True):
        for label in found:
            if label not in index:
                raise TrainError(f"{rows.source} gives {name} the label {label[:80]!r}, which no training image has")
    return LabeledImages(rows.names, [[index[label] for label in found] for found in rows.labels], folder)
