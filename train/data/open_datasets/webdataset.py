"""Other people's WebDataset shards: tars with an image and a `.cls` file per sample, indexed once by their headers.

Nothing is unpacked: the index records where each image is, and images are read from there.
"""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from braceexpand import braceexpand

from in21k.shards_manifest.storage.ranges import LocalRanges
from in21k.shards_manifest.tar import TarMember
from in21k.train.data.open_datasets.image_files import globbed, is_metadata
from in21k.train.data.open_datasets.listed import ListedDataset, single_labels
from in21k.train.data.open_datasets.tar_images import TarIndex, files_in_tar
from in21k.train.errors import TrainError

IMAGES = frozenset(("jpg", "jpeg", "png", "webp"))
LABEL = "cls"
MAX_CLASSES = 1 << 20
_MAX_LABEL = 16
"""Bytes of a label that are read: it is a number."""
_TRAIN = ("train/*.tar", "*train*.tar")
_VAL = ("val/*.tar", "test/*.tar", "validation/*.tar", "*val*.tar", "*test*.tar")


def is_webdataset(text: str) -> bool:
    """Return whether a path is a folder with tars to train on, or a pattern of tars."""
    return bool(_in_folder(Path(text), _TRAIN)) or (text.endswith(".tar") and bool(expand(text)))


def open_webdataset(text: str, val: str = "") -> ListedDataset:
    """Return the images in tars: a folder's, or those that match a pattern.

    Args:
        text: a folder with train/*.tar or *train*.tar, or a pattern such as `shards/train-{000..099}.tar`.
        val: a pattern of the validation tars; by default the folder's val/*.tar, *val*.tar, or likewise with test. Tars
            without samples mean no validation.

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
    if not train.keys:
        raise TrainError(f"{train_paths[0]} and the other {len(train_paths) - 1} tars contain no samples")
    classes = max(train.labels) + 1
    if max(val_index.labels, default=0) >= classes:
        raise TrainError(f"{val or text} has the label {max(val_index.labels)}, higher than that of any training image")
    names = [str(number) for number in range(classes)]
    splits = {"train": train.split(train_paths), "val": val_index.split(val_paths)}
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
    return next(([str(path) for path in found] for pattern in patterns if (found := globbed(folder, pattern))), [])


def _indexed(paths: Sequence[str]) -> TarIndex:
    index = TarIndex()
    for number, path in enumerate(paths):
        tar = LocalRanges(path, path)
        try:
            for key, members in _samples(path, tar):
                image, label = _image_and_label(path, key, members)
                found = _label(path, key, tar.read(label.offset, min(label.size, _MAX_LABEL)))
                index.add(f"{Path(path).stem}/{key}", found, number, image)
        finally:
            tar.close()
    return index


def _samples(path: str, tar: LocalRanges) -> Iterator[tuple[str, dict[str, TarMember]]]:
    """Yield the samples of a tar: adjacent members with the same key, by extension in lower case."""
    key, members = "", dict[str, TarMember]()
    for member in files_in_tar(path, tar.read, 0, tar.size):
        if is_metadata(member.name):
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
