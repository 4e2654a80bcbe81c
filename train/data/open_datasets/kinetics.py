"""Kinetics' lists: CSVs of `label,youtube_id,time_start,time_end,split`, whose clips are files ID_SSSSSS_EEEEEE.mp4.

Many of the videos have been withdrawn since, so a list names more than anybody has: those not there are left out, and
the dataset names them.
"""

import csv
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from in21k.train.data.open_datasets.csv_list import MOST_CLASSES, csv_rows
from in21k.train.data.open_datasets.image_files import images_below, printable
from in21k.train.data.open_datasets.image_folder import FolderListing, hold_out
from in21k.train.data.open_datasets.listed import ListedSplit, single_labels
from in21k.train.data.open_datasets.videos import FolderVideos, VideoDataset, is_video_name
from in21k.train.errors import TrainError

COLUMNS = ("label", "youtube_id", "time_start", "time_end")

_VAL = frozenset(("val", "validate", "validation"))
"""What lists call the validation videos in the column `split`."""
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECONDS = re.compile(r"[0-9]{1,6}(\.0+)?")


@dataclass(frozen=True)
class _Rows:
    """The videos that a list names."""

    source: str
    stems: list[str]
    labels: list[str]
    splits: list[str]
    """Empty where the list does not say it."""


def is_kinetics(path: Path) -> bool:
    """Return whether a path is a CSV with the columns of Kinetics' lists."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = next(csv.reader(itertools.islice(file, 1)), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return set(COLUMNS) <= {field.strip() for field in heading}


def open_kinetics(path: Path, videos: str = "", val: str = "", val_share: float = 0.0) -> VideoDataset:
    """Return the videos that Kinetics' lists name and a folder has.

    Args:
        path: lists the training videos; without `val`, its rows of the split `val` or `validate` are the validation
            videos.
        videos: the folder in which they are, anywhere below it; the list's own by default.
        val: another list, of the validation videos.
        val_share: without any of these, the share to hold out, from 0 to 1.

    Raises:
        TrainError: a list cannot be read, names a video twice, or has a label that no training video has; or none of
            the videos are there.
    """
    folder = Path(videos) if videos else path.parent
    if not folder.is_dir():
        raise TrainError(f"--images {folder}: there is no such folder")
    train, held = _split_rows(_read(path), _read(Path(val)) if val else None)
    _require_once(train, held)
    files = _files(folder)
    classes = sorted({label for stem, label in zip(train.stems, train.labels, strict=True) if stem in files})
    if not classes:
        raise TrainError(
            f"{path} lists {len(train.stems):,} training videos, none of which is in {folder}; give --images"
        )
    if len(classes) > MOST_CLASSES:
        raise TrainError(f"{path} has {len(classes):,} labels, over the limit of {MOST_CLASSES:,}")
    index = {label: number for number, label in enumerate(classes)}
    listed, held_listed = (_listed(rows, files, index) for rows in (train, held))
    if held.stems and val_share:
        raise TrainError(f"{held.source} lists validation videos; leave --val-share out")
    if not held.stems and not val_share:
        raise TrainError(f"{path} lists no validation videos; list them with --val, or pass --val-share 0.1")
    if not held.stems:
        listed, held_listed = hold_out(listed, val_share, path, "videos")
    splits = {"train": _split(folder, listed), "val": _split(folder, held_listed)}
    return VideoDataset(
        name=str(path),
        classes=classes,
        splits=splits,
        label_sets=single_labels(len(classes)),
        title=f"labels of {path.name}",
        missing=[stem for rows in (train, held) for stem in rows.stems if stem not in files],
    )


def _read(path: Path) -> _Rows:
    """Return the rows of a list."""
    rows = csv_rows(path)
    heading = next(rows, [])
    if lacking := [name for name in COLUMNS if name not in heading]:
        raise TrainError(f"{path} has no column {lacking[0]!r}; Kinetics' lists have {', '.join(COLUMNS)} and split")
    found = _Rows(str(path), [], [], [])
    for number, row in enumerate(rows, 2):
        fields = dict(zip(heading, row, strict=False))
        if any(not fields.get(name) for name in COLUMNS):
            raise TrainError(f"{path}, row {number}: a column is empty; write {','.join(COLUMNS)}")
        found.stems.append(_stem(path, number, fields))
        found.labels.append(fields["label"])
        found.splits.append(fields.get("split", ""))
    return found


def _stem(path: Path, number: int, fields: Mapping[str, str]) -> str:
    """Return the name of a video's file without its extension."""
    name, begin, end = (fields[column] for column in COLUMNS[1:])
    if not _YOUTUBE_ID.fullmatch(name) or not _SECONDS.fullmatch(begin) or not _SECONDS.fullmatch(end):
        raise TrainError(
            f"{path}, row {number}: {name[:80]!r}, {begin[:20]!r} to {end[:20]!r}, is no YouTube id with whole seconds"
        )
    return f"{name}_{int(float(begin)):06d}_{int(float(end)):06d}"


def _split_rows(rows: _Rows, val: _Rows | None) -> tuple[_Rows, _Rows]:
    """Return the training and the validation videos: of two lists, or of one by its column `split`."""
    if val is not None:
        return rows, val
    is_val = [split in _VAL for split in rows.splits]
    return _where(rows, [not each for each in is_val]), _where(rows, is_val)


def _where(rows: _Rows, mask: Sequence[bool]) -> _Rows:
    columns = (rows.stems, rows.labels, rows.splits)
    return _Rows(rows.source, *(list(itertools.compress(column, mask)) for column in columns))


def _require_once(train: _Rows, val: _Rows) -> None:
    """Refuse lists that name a video twice: with two labels, or in both splits."""
    seen: set[str] = set()
    for rows in (train, val):
        for stem in rows.stems:
            if stem in seen:
                raise TrainError(f"{rows.source} lists the video {stem}, which is listed before; keep one of the rows")
            seen.add(stem)


def _files(folder: Path) -> dict[str, str]:
    """Return the path below a folder of each video file there, by its name without extension, the first in order."""
    found: dict[str, str] = {}
    for path in sorted(images_below(folder, "", is_named=is_video_name)):
        found.setdefault(PurePosixPath(path).stem, path.removeprefix("/"))
    return found


def _listed(rows: _Rows, files: Mapping[str, str], index: Mapping[str, int]) -> FolderListing:
    there = [(files[stem], label) for stem, label in zip(rows.stems, rows.labels, strict=True) if stem in files]
    for name, label in there:
        if label not in index:
            raise TrainError(f"{rows.source} gives {name} the label {label[:80]!r}, which no training video has")
    return FolderListing([name for name, _ in there], [index[label] for _, label in there])


def _split(folder: Path, listed: FolderListing) -> ListedSplit:
    names = pa.array([os.fsencode(name) for name in listed.names], pa.binary())
    return ListedSplit(
        [printable(name) for name in listed.names], np.array(listed.labels, np.int64), FolderVideos(str(folder), names)
    )
