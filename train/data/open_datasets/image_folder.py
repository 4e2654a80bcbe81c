"""Image folders as torchvision's ImageFolder reads them: one folder of image files per class."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from in21k.shards_manifest.key_hashes import hash_strings
from in21k.train.data.open_datasets.image_files import (
    FolderImages,
    images_below,
    is_file,
    is_image_name,
    printable,
    subfolders,
)
from in21k.train.data.open_datasets.left_out import LeftOut
from in21k.train.data.open_datasets.listed import ImageStore, ListedDataset, ListedSplit, single_labels
from in21k.train.errors import TrainError

TRAIN = "train"
VAL = ("val", "test", "valid", "validation")
"""Folders beside `train` that may hold the validation images; the first that exists is used."""


@dataclass(frozen=True)
class FileKind:
    """Which files in class folders are samples, and what becomes of them."""

    word: str
    """What messages call them."""
    is_named: Callable[[str], bool]
    """Whether a path is one of theirs, by its name."""
    store: Callable[[str, Any], ImageStore]
    """Of a root and a pyarrow binary array of paths below it."""
    dataset: type[ListedDataset]


IMAGES = FileKind("images", is_image_name, FolderImages, ListedDataset)


@dataclass(frozen=True)
class FolderListing:
    """The images in class folders."""

    names: list[str]
    """Paths relative to the root, sorted within each class."""
    labels: list[int]


def open_image_folder(root: Path, val_share: float = 0.0, kind: FileKind = IMAGES) -> ListedDataset:
    """Return the images of ROOT/train and ROOT/val (or test), or of one folder of class folders.

    Args:
        root: the folder.
        val_share: without validation images, the share of each class's images to hold out, from 0 to 1; a hash of
            their paths decides which. A folder for them that is empty, and no share, means no validation.
        kind: of the files that are samples.

    Raises:
        TrainError: there are no class folders, a class has no images, or there are validation images or a share and
            not just one of them.
    """
    train_folder = root / TRAIN if (root / TRAIN).is_dir() else root
    val_folder = next((root / name for name in VAL if train_folder != root and (root / name).is_dir()), None)
    classes = _folders(train_folder)
    left_out = LeftOut(kind.is_named)
    train = _listed(train_folder, classes, left_out)
    if empty := sorted(set(range(len(classes))) - set(train.labels)):
        raise _no_files(train_folder / classes[empty[0]], kind)
    val = (
        _listed(val_folder, _known(val_folder, classes), left_out) if val_folder is not None else FolderListing([], [])
    )
    if val.names and val_share:
        raise TrainError(f"{val_folder} holds validation {kind.word}; leave --val-share out")
    if val_folder is None or val_share:
        train, val = hold_out(train, val_share, root, kind.word)
        val_folder = train_folder
    splits = {"train": _split(root, train_folder, train, kind), "val": _split(root, val_folder, val, kind)}
    names = [printable(name) for name in classes]
    return kind.dataset(
        name=str(root),
        classes=names,
        splits=splits,
        label_sets=single_labels(len(names)),
        title=f"the folders of {root.name}",
        left_out="; and ".join(filter(None, (left_out.text, _loose(train_folder)))) if kind is IMAGES else "",
    )


def hold_out(
    listed: FolderListing, share: float, root: Path, word: str = "images"
) -> tuple[FolderListing, FolderListing]:
    """Return the images to train on, and those held out: of each class, the share whose paths have the lowest hashes.

    The number held out is rounded up.

    Raises:
        TrainError: the share is not between 0 and 1, or leaves a class no images to train on.
    """
    if not 0 < share < 1:
        raise TrainError(f"{root} has no folder of validation {word} ({', '.join(VAL[:2])}); pass --val-share 0.1")
    labels, hashes = np.array(listed.labels), hash_strings([printable(name) for name in listed.names])
    held = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = int(np.ceil(share * len(rows)))
        if count == len(rows):
            raise TrainError(f"the class of {listed.names[rows[0]]} has too few {word} to hold any out: {len(rows)}")
        held[rows[np.argsort(hashes[rows], kind="stable")[:count]]] = True
    return _where(listed, ~held), _where(listed, held)


def is_image_folder(root: Path, kind: FileKind = IMAGES) -> bool:
    """Return whether a folder, or `train` in it, contains class folders with images, or with another kind of files."""
    folder = root / TRAIN if (root / TRAIN).is_dir() else root
    if not folder.is_dir():
        return False
    return any(next(images_below(folder / name, "", is_named=kind.is_named), None) for name in subfolders(folder))


def _where(listed: FolderListing, mask: Any) -> FolderListing:
    rows = np.flatnonzero(mask).tolist()
    return FolderListing([listed.names[row] for row in rows], [listed.labels[row] for row in rows])


def _split(root: Path, folder: Path, listed: FolderListing, kind: FileKind) -> ListedSplit:
    below = "" if folder == root else f"{folder.name}/"
    names = [f"{below}{name}" for name in listed.names]
    store = kind.store(str(root), pa.array([os.fsencode(name) for name in names], pa.binary()))
    return ListedSplit([printable(name) for name in names], np.array(listed.labels, np.int64), store)


def _folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise TrainError(f"{folder}: there is no such folder")
    if not (names := subfolders(folder)):
        raise TrainError(f"{folder} has no class folders; an image folder contains CLASS/IMAGE or train/CLASS/IMAGE")
    return names


def _known(folder: Path, classes: Sequence[str]) -> Sequence[str]:
    if strangers := sorted(set(subfolders(folder)) - set(classes)):
        raise TrainError(f"{folder / strangers[0]} is a class that {TRAIN} lacks; remove it, or add it there")
    return classes


def _loose(folder: Path) -> str:
    """Return, in words, which images lie beside the class folders; empty if none do."""
    with os.scandir(folder) as entries:
        found = sorted(entry.name for entry in entries if is_image_name(entry.name) and is_file(entry))
    if not found:
        return ""
    count = "1 image" if len(found) == 1 else f"{len(found):,} images"
    return (
        f"{count} in no class folder, such as {printable(str(folder / found[0]))}; put photos into {folder / 'CLASS'}"
    )


def _no_files(folder: Path, kind: FileKind) -> TrainError:
    """Return the error of a class folder without files that are read."""
    left_out = LeftOut(kind.is_named)
    list(images_below(folder, "", is_named=left_out.beside(folder)))
    if kind is IMAGES and left_out.photos:
        return TrainError(f"{folder} contains no images that can be read, but {left_out.photos}")
    return TrainError(f"{folder} contains no {kind.word}; remove the folder, or add {kind.word}")


def _listed(folder: Path, classes: Sequence[str], left_out: LeftOut) -> FolderListing:
    listed, is_named = FolderListing([], []), left_out.beside(folder)
    for label, name in enumerate(classes):
        own = folder / name
        named = images_below(own, name, must_exist=True, is_named=is_named) if own.is_dir() else ()
        found = sorted(named)
        listed.names.extend(found)
        listed.labels.extend([label] * len(found))
    return listed
