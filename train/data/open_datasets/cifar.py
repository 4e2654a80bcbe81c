"""CIFAR-10 and CIFAR-100, from their Python archives, read without running anything in the pickles."""

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.decode import Pixels
from in21k.train.data.open_datasets.image_files import is_metadata
from in21k.train.data.open_datasets.listed import ListedDataset, ListedSplit, single_labels
from in21k.train.data.open_datasets.tar_images import files_in_tar
from in21k.train.errors import TrainError
from in21k.tree.plain_pickle import MAX_BYTES, load_arrays

SIDE = 32
"""Of the images, in pixels."""


@dataclass(frozen=True)
class Release:
    """The pickles of a release, and the keys of what they hold."""

    meta: str
    """The pickle with the class names."""
    names: str
    """Key of the class names."""
    labels: str
    """Key of the labels."""
    train: tuple[str, ...]
    test: tuple[str, ...]


RELEASES = (
    Release(meta="meta", names="fine_label_names", labels="fine_labels", train=("train",), test=("test",)),
    Release(
        meta="batches.meta",
        names="label_names",
        labels="labels",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test=("test_batch",),
    ),
)
"""CIFAR-100 and CIFAR-10."""

_GZIP = b"\x1f\x8b"
_UNKNOWN_LENGTH = 1 << 62
"""Stands for the length of a tar, which a gzip does not say."""
_FOLDERS = ("cifar-100-python", "cifar-10-batches-py")


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images in memory; implements both `ImageStore` and `OpenStore`."""

    pixels: Pixels
    """uint8 [N, H, W, 3]."""

    def open(self) -> "ArrayImages":
        """Return the images themselves."""
        return self

    def image(self, row: int) -> Pixels:
        """Return an image's pixels, uint8 [H, W, 3]."""
        found: Pixels = self.pixels[row]
        return found

    def path(self, _row: int) -> None:
        """Return None: the images are in pickles."""

    def close(self) -> None:
        """Do nothing: no file is open."""


def is_cifar(path: Path) -> bool:
    """Return whether a path is one of the archives, or a folder unpacked from one."""
    if path.is_dir():
        return any((_unpacked(path) / release.meta).is_file() for release in RELEASES)
    return path.is_file() and path.name.startswith("cifar-") and path.name.endswith((".tar.gz", ".tgz", ".tar"))


def open_cifar(path: Path) -> ListedDataset:
    """Return the images of an archive, or of a folder unpacked from one, with the test images as `val`.

    The classes of CIFAR-100 are its 100 fine ones.

    Raises:
        TrainError: the path is neither, or a batch is missing or damaged.
        TreeError: a pickle holds anything but arrays, lists and text.
    """
    pickles = _pickles(path)
    for release in RELEASES:
        if release.meta in pickles:
            break
    else:
        raise TrainError(
            f"{path} is not a CIFAR archive: it has neither {' nor '.join(release.meta for release in RELEASES)}"
        )
    names = _field(_loaded(path, pickles, release.meta), release.names, path, release.meta)
    classes = [str(name) for name in names]
    splits = {
        "train": _split(path, pickles, release, release.train, "train", len(classes)),
        "val": _split(path, pickles, release, release.test, "val", len(classes)),
    }
    return ListedDataset(
        name=str(path),
        classes=classes,
        splits=splits,
        label_sets=single_labels(len(classes)),
        title=path.name,
        image_size=SIDE,
    )


def _split(
    path: Path, pickles: Mapping[str, bytes], release: Release, batches: Sequence[str], split: str, classes: int
) -> ListedSplit:
    pixels, labels = [], []
    for batch in batches:
        loaded = _loaded(path, pickles, batch)
        data, found = (_field(loaded, key, path, batch) for key in ("data", release.labels))
        if not _is_batch(data, found, classes):
            raise TrainError(
                f"{path}: {batch} is not a batch of {SIDE} × {SIDE} images, each with one of {classes} labels"
            )
        pixels.append(data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
        labels.extend(found)
    keys = [f"{split}/{number:05d}" for number in range(len(labels))]
    return ListedSplit(keys, np.array(labels, np.int64), ArrayImages(np.ascontiguousarray(np.concatenate(pixels))))


def _is_batch(data: Any, labels: Any, classes: int) -> bool:
    return (
        isinstance(data, np.ndarray)
        and data.dtype == np.uint8
        and isinstance(labels, list)
        and data.shape == (len(labels), 3 * SIDE * SIDE)
        and all(type(label) is int and 0 <= label < classes for label in labels)
    )


def _loaded(path: Path, pickles: Mapping[str, bytes], name: str) -> Any:
    if name not in pickles:
        raise TrainError(f"{path} has no {name}; copy it again")
    return load_arrays(pickles[name], f"{path}: {name}")


def _field(loaded: Any, key: str, path: Path, name: str) -> Any:
    if not isinstance(loaded, dict) or not isinstance(loaded.get(key), (list, np.ndarray)):
        raise TrainError(f"{path}: {name} has no {key}; it is not a CIFAR batch")
    return loaded[key]


def _opened(path: Path) -> io.BufferedIOBase:
    """Open an archive's tar, gzipped or not."""
    with path.open("rb") as file:
        is_gzipped = file.read(len(_GZIP)) == _GZIP
    return gzip.open(path) if is_gzipped else path.open("rb")


def _unpacked(folder: Path) -> Path:
    return next((folder / name for name in _FOLDERS if (folder / name).is_dir()), folder)


def _pickles(path: Path) -> dict[str, bytes]:
    """Return the contents of the releases' files, by name."""
    wanted = {name for release in RELEASES for name in (release.meta, *release.train, *release.test)}
    if path.is_dir():
        folder = _unpacked(path)
        return {name: (folder / name).read_bytes() for name in wanted if (folder / name).is_file()}
    return dict(_archived(path, wanted))


def _archived(path: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    try:
        with _opened(path) as file:

            def read(offset: int, size: int) -> bytes:
                file.seek(offset)
                return file.read(size)

            for member in files_in_tar(str(path), read, 0, _UNKNOWN_LENGTH):
                name = member.name.rpartition("/")[2]
                if name in wanted and not is_metadata(member.name):
                    if member.size > MAX_BYTES:
                        raise TrainError(
                            f"{path}: {name} is larger than {MAX_BYTES >> 20} MB; this is not a CIFAR archive"
                        )
                    yield name, read(member.offset, member.size)
    except (EOFError, OSError, zlib.error) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
