"""Other people's WebDataset shards: tars with an image and a `.cls` file per sample, indexed once by their headers.

Nothing is unpacked: the index records where each image is, and images are read from there.
"""

import glob
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from braceexpand import braceexpand

from in21k.shards_manifest.storage.ranges import LocalRanges
from in21k.shards_manifest.tar import TarError, TarMember, read_members
from in21k.train.arrays import IntArray
from in21k.train.data.open_datasets.listed import ListedDataset, ListedSplit, single_labels
from in21k.train.errors import TrainError

IMAGES = frozenset(("jpg", "jpeg", "png", "webp"))
LABEL = "cls"
MAX_CLASSES = 1 << 20
_MAX_LABEL = 16
"""Bytes of a label that are read: it is a number."""
_OPEN = 64
"""Tars that one process keeps open."""
_TRAIN = ("train/*.tar", "*train*.tar")
_VAL = ("val/*.tar", "test/*.tar", "validation/*.tar", "*val*.tar", "*test*.tar")


@dataclass(frozen=True, eq=False)
class TarImages:
    """Where the images of a split are; implements `ImageStore`."""

    paths: tuple[str, ...]
    """Of the tars."""
    tars: IntArray
    """int64 [N]: each image's tar, as an index into `paths`."""
    offsets: IntArray
    """int64 [N]: byte of the tar at which the image file begins."""
    sizes: IntArray
    """int64 [N]: length of the image file in bytes."""

    def open(self) -> "OpenTars":
        """Return the images, open for reading."""
        return OpenTars(self)


class OpenTars:
    """The most recently used tars, open in one process; implements `OpenStore`."""

    def __init__(self, images: TarImages) -> None:
        self._images = images
        self._open: OrderedDict[int, LocalRanges] = OrderedDict()

    def image(self, row: int) -> memoryview:
        """Return an image file's bytes.

        Raises:
            TrainError: the tar is missing, or shorter than it was.
        """
        number, size = int(self._images.tars[row]), int(self._images.sizes[row])
        if number not in self._open:
            if len(self._open) >= _OPEN:
                self._open.popitem(last=False)[1].close()
            path = self._images.paths[number]
            self._open[number] = LocalRanges(path, path)
        self._open.move_to_end(number)
        content = self._open[number].read(int(self._images.offsets[row]), size)
        if len(content) < size:
            raise TrainError(f"{self._images.paths[number]} has become shorter since it was indexed; start again")
        return memoryview(content)

    def close(self) -> None:
        """Close all tars."""
        while self._open:
            self._open.popitem()[1].close()


@dataclass
class _Index:
    """The samples of a split, as far as they have been read."""

    keys: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    tars: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


def is_webdataset(text: str) -> bool:
    """Return whether a path is a folder with tars to train on, or a pattern of tars."""
    return bool(_in_folder(Path(text), _TRAIN)) or (text.endswith(".tar") and bool(expand(text)))


def open_webdataset(text: str, val: str = "") -> ListedDataset:
    """Return the images in tars: a folder's, or those that match a pattern.

    Args:
        text: a folder with train/*.tar or *train*.tar, or a pattern such as `shards/train-{000..099}.tar`.
        val: a pattern of the validation tars; by default the folder's val/*.tar, *val*.tar, or likewise with test.

    Raises:
        TrainError: no tar matches, one is damaged, or a sample lacks an image or a label.
    """
    train_paths = _in_folder(Path(text), _TRAIN) or expand(text)
    val_paths = expand(val) if val else _in_folder(Path(text), _VAL)
    if not train_paths:
        raise TrainError(f"{text} matches no tars")
    if not val_paths:
        raise TrainError(f"{val} matches no tars" if val else f"{text} has no tars to validate on; pass --val PATTERN")
    if shared := set(train_paths) & set(val_paths):
        raise TrainError(f"{min(shared)} would be both trained on and validated on; give other patterns")
    train, val_index = _indexed(train_paths), _indexed(val_paths)
    classes = max(train.labels) + 1
    if max(val_index.labels) >= classes:
        raise TrainError(f"{val or text} has the label {max(val_index.labels)}, higher than that of any training image")
    names = [str(number) for number in range(classes)]
    splits = {"train": _split(train, train_paths), "val": _split(val_index, val_paths)}
    return ListedDataset(
        name=text, classes=names, splits=splits, label_sets=single_labels(classes), title=f"labels of {text}"
    )


def expand(pattern: str) -> list[str]:
    """Return the files that match a pattern with braces ({000..099}) and wildcards, sorted.

    Raises:
        TrainError: its braces are not balanced.
    """
    try:
        parts = list(braceexpand(pattern))
    except ValueError as error:
        raise TrainError(f"{pattern}: its braces are not balanced") from error
    found = {path for part in parts for path in (glob.glob(part) if glob.has_magic(part) else [part])}  # noqa: PTH207
    return sorted(path for path in found if os.path.isfile(path))  # noqa: PTH113 - there may be thousands


def _in_folder(folder: Path, patterns: Sequence[str]) -> list[str]:
    if not folder.is_dir():
        return []
    return next((sorted(map(str, found)) for pattern in patterns if (found := list(folder.glob(pattern)))), [])


def _split(index: _Index, paths: Sequence[str]) -> ListedSplit:
    arrays = (np.array(values, np.int64) for values in (index.tars, index.offsets, index.sizes))
    return ListedSplit(index.keys, np.array(index.labels, np.int64), TarImages(tuple(paths), *arrays))


def _indexed(paths: Sequence[str]) -> _Index:
    index = _Index()
    for number, path in enumerate(paths):
        tar = LocalRanges(path, path)
        try:
            for key, members in _samples(path, tar):
                image, label = _image_and_label(path, key, members)
                index.keys.append(f"{Path(path).stem}/{key}")
                index.labels.append(_label(path, key, tar.read(label.offset, min(label.size, _MAX_LABEL))))
                index.tars.append(number)
                index.offsets.append(image.offset)
                index.sizes.append(image.size)
        except TarError as error:
            raise TrainError(f"{path}: {error}; copy it again") from error
        finally:
            tar.close()
    if not index.keys:
        raise TrainError(f"{paths[0]} and the other {len(paths) - 1} tars contain no samples")
    return index


def _samples(path: str, tar: LocalRanges) -> Iterator[tuple[str, dict[str, TarMember]]]:
    """Yield the samples of a tar: adjacent members with the same key, by extension in lower case."""
    key, members = "", dict[str, TarMember]()
    for member in read_members(tar.read, 0, tar.size):
        if not member.is_file:
            continue
        folder, _, base = member.name.rpartition("/")
        stem, _, extension = base.partition(".")
        own = f"{folder}/{stem}" if folder else stem
        if own != key and members:
            yield key, members
            members = {}
        key = own
        if extension.lower() in members:
            raise TrainError(f"{path} has two members named {member.name}; its samples cannot be told apart")
        members[extension.lower()] = member
    if members:
        yield key, members


def _image_and_label(path: str, key: str, members: dict[str, TarMember]) -> tuple[TarMember, TarMember]:
    images = [members[extension] for extension in sorted(IMAGES & members.keys())]
    if len(images) != 1 or LABEL not in members:
        found = ", ".join(sorted(members))
        raise TrainError(
            f"{path}: the sample {key} has {found}, not one image ({', '.join(sorted(IMAGES))}) and one .cls"
        )
    return images[0], members[LABEL]


def _label(path: str, key: str, content: bytes) -> int:
    try:
        label = int(content)
    except ValueError:
        label = -1
    if not 0 <= label < MAX_CLASSES:
        raise TrainError(f"{path}: the label of {key} is {content!r}, not a number from 0 on")
    return label
