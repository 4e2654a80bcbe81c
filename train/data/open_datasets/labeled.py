"""Images with class numbers, as lists in files give them: what a dataset is made of, and a share to hold out."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from in21k.shards_manifest.command.numbers import counted
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.key_hashes import hash_strings
from in21k.train.data.open_datasets.archives import archive_of, still_packed
from in21k.train.data.open_datasets.image_files import FolderImages, is_file
from in21k.train.data.open_datasets.label_sets import multi_label_dataset
from in21k.train.data.open_datasets.listed import ImageStore, ListedDataset, ListedSplit, single_labels
from in21k.train.data.open_datasets.tar_images import TarImages
from in21k.train.errors import TrainError


@dataclass(frozen=True)
class LabeledImages:
    """The images that a list names, in a folder."""

    names: Sequence[str]
    """[N]: paths below the folder, unique."""
    labels: Sequence[Sequence[int]]
    """[N]: the classes of each image; one each where images have one class."""
    folder: str = ""
    tars: TarImages | None = None
    """Where they are instead, if they are in tars; row by row."""

    def rows(self, rows: Iterable[int]) -> "LabeledImages":
        """Return some of the images."""
        chosen = list(rows)
        return LabeledImages(
            names=[self.names[row] for row in chosen],
            labels=[self.labels[row] for row in chosen],
            folder=self.folder,
            tars=self.tars.rows(np.array(chosen, np.int64)) if self.tars else None,
        )

    @property
    def store(self) -> ImageStore:
        """The image files."""
        if self.tars is not None:
            return self.tars
        return FolderImages(self.folder, pa.array([name.encode() for name in self.names], pa.binary()))


NO_IMAGES = LabeledImages((), ())


def labeled_dataset(
    name: str, classes: Sequence[str], train: LabeledImages, val: LabeledImages, title: str, *, single_label: bool
) -> ListedDataset:
    """Return a dataset of listed images.

    Args:
        name: what messages call it.
        classes: C names.
        train: the training images.
        val: the validation images, or none.
        title: where the classes come from.
        single_label: whether each image has one class; otherwise any number.
    """
    parts = {"train": train, "val": val}
    if not single_label:
        return multi_label_dataset(
            name=name,
            classes=classes,
            keys={split: part.names for split, part in parts.items()},
            sets={split: part.labels for split, part in parts.items()},
            stores={split: part.store for split, part in parts.items()},
            title=title,
        )
    splits = {split: _single_label_split(part) for split, part in parts.items()}
    return ListedDataset(name=name, classes=classes, splits=splits, label_sets=single_labels(len(classes)), title=title)


def _single_label_split(part: LabeledImages) -> ListedSplit:
    labels = np.fromiter((found[0] for found in part.labels), np.int64, len(part.labels))
    return ListedSplit(part.names, labels, part.store)


def held_out(images: LabeledImages, share: float, source: str) -> tuple[LabeledImages, LabeledImages]:
    """Return the images to train on, and a share of them to validate on; a hash of their names decides which.

    Where each image has one class, the share is of each class. The number held out is rounded up.

    Raises:
        TrainError: the share is not between 0 and 1, or leaves a class, or all, without images to train on.
    """
    if not 0 < share < 1:
        raise TrainError(f"{source} has no validation images; list them with --val, or pass --val-share 0.1")
    groups: dict[int, list[int]] = {}
    single = all(len(found) == 1 for found in images.labels)
    for row, found in enumerate(images.labels):
        groups.setdefault(found[0] if single else 0, []).append(row)
    hashes = hash_strings(list(images.names))
    held: set[int] = set()
    for rows in groups.values():
        count = int(np.ceil(share * len(rows)))
        if count == len(rows):
            raise TrainError(
                f"{source}: to hold out {share:g} of the {len(rows)} images like {images.names[rows[0]]} leaves none "
                "to train on; pass a smaller --val-share, or list validation images with --val"
            )
        held.update(np.array(rows)[np.argsort(hashes[rows], kind="stable")[:count]].tolist())
    everything = range(len(images.names))
    return images.rows(row for row in everything if row not in held), images.rows(sorted(held))


def check_listed(parts: Mapping[str, LabeledImages], *, movable: bool = False) -> None:
    """Refuse lists that name an image twice, or one that is not there.

    Args:
        parts: by the file that lists them, for messages.
        movable: whether `--images` can name the folder of the images.

    Raises:
        TrainError: an image is listed twice, in one list or two of the same folder, or is missing.
    """
    seen: dict[tuple[str, str], str] = {}
    for source, part in parts.items():
        for name in part.names:
            earlier = seen.setdefault((part.folder, name), source)
            if earlier != source:
                raise TrainError(f"{source} lists the image {name}, which {earlier} lists, too; keep it in one of them")
        if len(set(part.names)) < len(part.names):
            raise TrainError(
                f"{source} lists the image {_repeated(part.names)} twice; list it once, with all its labels"
            )
        _require_files(source, part, movable=movable)


def _repeated(names: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]


def _require_files(source: str, part: LabeledImages, *, movable: bool) -> None:
    missing = _missing(part)
    if missing and part.tars is not None:
        raise TrainError(
            f"{source} lists {counted(len(missing), 'image')} not to be found in {' or '.join(part.tars.paths)}, "
            f"such as {missing[0]}; copy the tar again"
        )
    folder = Path(part.folder)
    if missing and not folder.is_dir() and (archive := archive_of(folder.parent, folder.name)):
        raise still_packed(archive)
    if missing:
        otherwise = "give their folder with --images" if movable else "leave them out of the list"
        raise TrainError(
            f"{source} lists {counted(len(missing), 'image')} not to be found in {part.folder}, such as {missing[0]}; "
            f"copy them there, or {otherwise}"
        )


def _missing(part: LabeledImages) -> list[str]:
    """Return the images that are not there, reading each folder once rather than asking for each of a million files."""
    if part.tars is not None:
        return [part.names[row] for row in np.flatnonzero(part.tars.sizes < 0).tolist()]
    folders: dict[str, set[str]] = {}
    missing = []
    for name in part.names:
        below, _, base = name.rpartition("/")
        if below not in folders:
            folders[below] = _files(Path(part.folder, below))
        if base not in folders[below] and not Path(part.folder, name).is_file():
            missing.append(name)
    return missing


def _files(folder: Path) -> set[str]:
    """Return the names of a folder's files; links count if they lead to one."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if is_file(entry)}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise TrainError(f"{folder} cannot be read: {one_line(error)}") from error
