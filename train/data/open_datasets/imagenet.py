"""ImageNet-1K as it is downloaded: tars or folders of classes, and flat validation images with the devkit or a list."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.ranges import LocalRanges
from in21k.train.data.open_datasets.image_files import (
    FolderImages,
    images_below,
    is_image_name,
    is_metadata,
    printable,
    subfolders,
)
from in21k.train.data.open_datasets.listed import ListedDataset, ListedSplit, single_labels
from in21k.train.data.open_datasets.tar_images import TarIndex, files_in_tar
from in21k.train.errors import TrainError
from in21k.tree.ground_truth import (
    DEVKIT_FOLDER,
    DEVKIT_TAR,
    LONGEST_LIST,
    META,
    GroundTruth,
    chosen_ground_truth,
    devkit_lists,
)

_PLACES = ("", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC")
"""Where the splits are below a folder: beside each other, or as the archive for object localization has them."""
_TRAIN = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_train", "train")
_VAL = ("ILSVRC2012_img_val.tar", "ILSVRC2012_img_val", "val")
_FLAT_NAME = "ILSVRC2012_val_"


@dataclass(frozen=True)
class _Images:
    """The images of a split as they were found, in folders or in tars."""

    root: Path
    """What the names begin in."""
    names: list[str]
    classes: list[str]
    """The class of each image; its wnid."""
    tars: TarIndex | None = None
    """Where they are, if they are in tars."""
    paths: tuple[str, ...] = ()
    """Of the tars."""

    def split(self, index: Mapping[str, int], text: str) -> ListedSplit:
        """Return them with the classes as numbers.

        Raises:
            TrainError: a class is not in the index.
        """
        if strangers := sorted(set(self.classes) - index.keys()):
            raise TrainError(f"{text} has images of {strangers[0]}, a class without training images; remove them")
        labels = np.array([index[name] for name in self.classes], np.int64)
        if self.tars is not None:
            return ListedSplit(self.names, labels, self.tars.split(self.paths).store)
        store = FolderImages(str(self.root), pa.array([os.fsencode(name) for name in self.names], pa.binary()))
        return ListedSplit([printable(name) for name in self.names], labels, store)


def is_imagenet(root: Path) -> bool:
    """Return whether a folder holds ImageNet-1K by its own names: the training tar, or flat validation images."""
    train, val = _found(root, _TRAIN), _found(root, _VAL)
    if train is None:
        return False
    if train.name.startswith("ILSVRC2012") or (val is not None and val.suffix == ".tar"):
        return True
    return val is not None and next(val.glob(f"{_FLAT_NAME}*"), None) is not None


def open_imagenet(root: Path) -> ListedDataset:
    """Return ImageNet-1K's images, or those of some of its classes.

    Training images are in ILSVRC2012_img_train.tar, a tar of class tars, or in a folder of class folders or class
    tars. Validation images are in ILSVRC2012_img_val.tar or in a folder, and the devkit or a list in or above it says
    their classes; or they are in class folders. No validation images in a folder or tar of them mean no validation.

    Raises:
        TrainError: there are no images of a split, a tar is damaged, or nothing says the class of a validation image.
        TreeError: the devkit is damaged, or a list does not fit the images.
    """
    train_path, val_path = _found(root, _TRAIN), _found(root, _VAL)
    for path, wanted in ((train_path, _TRAIN), (val_path, _VAL)):
        if path is None:
            raise TrainError(f"{root} has none of {', '.join(wanted)}; put it there")
    assert train_path is not None
    assert val_path is not None
    train = _classed_tar(train_path) if train_path.is_file() else _classed_folder(train_path)
    if not train.names:
        raise TrainError(f"{train_path} holds no images in classes such as n01440764")
    val = _val_images(root, val_path)
    classes = sorted(set(train.classes))
    index = {name: number for number, name in enumerate(classes)}
    splits = {"train": train.split(index, str(train_path)), "val": val.split(index, str(val_path))}
    labels = single_labels(len(classes))
    return ListedDataset(name=str(root), classes=classes, splits=splits, label_sets=labels, title="ImageNet-1K")


def _found(root: Path, names: Sequence[str]) -> Path | None:
    return next((path for place in _PLACES for name in names if (path := root / place / name).exists()), None)


def _classed_tar(path: Path) -> _Images:
    """Return the images of a tar of class tars."""
    index, classes = TarIndex(), list[str]()
    tar = LocalRanges(str(path), str(path))
    try:
        for member in files_in_tar(str(path), tar.read, 0, tar.size):
            if member.name.endswith(".tar") and not is_metadata(member.name):
                wnid = printable(Path(member.name).stem)
                _add_class(f"{path}: {wnid}.tar", wnid, 0, tar, (member.offset, member.offset + member.size), index)
                classes.extend([wnid] * (len(index.keys) - len(classes)))
    finally:
        tar.close()
    return _Images(path, index.keys, classes, index, (str(path),))


def _classed_folder(folder: Path) -> _Images:
    """Return the images of a folder of class folders, or of class tars."""
    if names := subfolders(folder):
        found = [
            (image, name) for name in names for image in sorted(images_below(folder / name, name, must_exist=True))
        ]
        return _Images(folder, [image for image, _ in found], [name for _, name in found])
    index, classes = TarIndex(), list[str]()
    paths = sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))
    for number, path in enumerate(paths):
        tar = LocalRanges(str(path), str(path))
        try:
            _add_class(str(path), path.stem, number, tar, (0, tar.size), index)
        finally:
            tar.close()
        classes.extend([path.stem] * (len(index.keys) - len(classes)))
    return _Images(folder, index.keys, classes, index, tuple(map(str, paths)))


def _add_class(text: str, wnid: str, number: int, tar: LocalRanges, span: tuple[int, int], index: TarIndex) -> None:
    for image in files_in_tar(text, tar.read, *span):
        if is_image_name(image.name):
            index.add(f"{wnid}/{printable(image.name.rpartition('/')[2])}", 0, number, image)


def _val_images(root: Path, path: Path) -> _Images:
    if path.is_dir() and subfolders(path):
        return _classed_folder(path)
    if path.is_dir():
        names = sorted(name.removeprefix("/") for name in images_below(path, "", must_exist=True))
        return _Images(path, names, _classes_of(root, path, names))
    index = TarIndex()
    tar = LocalRanges(str(path), str(path))
    try:
        for image in files_in_tar(str(path), tar.read, 0, tar.size):
            if is_image_name(image.name):
                index.add(printable(image.name.rpartition("/")[2]), 0, 0, image)
    finally:
        tar.close()
    return _Images(path, index.keys, _classes_of(root, path, index.keys), index, (str(path),))


def _classes_of(root: Path, path: Path, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    truth = _ground_truth(root, path)
    classes = truth.wnids(names)
    if "" in classes:
        raise TrainError(f"{truth.text} does not say the class of {names[classes.index('')]} in {path}")
    return classes


def _ground_truth(root: Path, val: Path) -> GroundTruth:
    """Return what says the classes of the validation images: the devkit or a list, beside them or above."""
    texts: dict[str, bytes] = {}
    meta = b""
    for name, content in _lists(dict.fromkeys((root, root / "ILSVRC", val.parent, val))):
        if name.endswith(META):
            meta = content
        else:
            texts[name] = content
    found = chosen_ground_truth(texts, (), meta, "put a list of the images' names and wnids there instead")
    if found is None:
        raise TrainError(
            f"{root} does not say the classes of its validation images; put the devkit ({DEVKIT_TAR}) into it, or a "
            f"list with a line '{_FLAT_NAME}00000001.JPEG n01751748' for each"
        )
    return found


def _lists(folders: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for place in (folder, folder / DEVKIT_FOLDER, folder / DEVKIT_FOLDER / "data"):
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                if path.name[0] != "." and (path.name == DEVKIT_TAR or path.name.endswith((".txt", ".csv", META))):
                    content = _content(path)
                    is_devkit = path.name == DEVKIT_TAR
                    yield from devkit_lists(content, str(path)) if is_devkit else [(str(path), content)]


def _content(path: Path) -> bytes:
    """Return a file's content, none if it is too large to be a list."""
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= LONGEST_LIST else b""
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
