"""Which images are queries, which are looked for, and which belong together: by Holidays' names, classes or a CSV."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.train.arrays import IntArray
from in21k.train.data.open_datasets.image_files import printable
from in21k.train.embed.reader import Embeddings
from in21k.train.errors import TrainError
from in21k.train.retrieval.group_list import GroupList, read_group_list

AUTO, HOLIDAYS, CLASSES = "auto", "holidays", "classes"
GALLERIES = ("val", "train", "all")
"""Where the classes of a dataset are looked for: in its val split, which the queries are of, in train, or in both."""

BoolArray = npt.NDArray[np.bool_]

_NUMBER = re.compile(r"[0-9]{6}")


@dataclass(frozen=True, eq=False)
class Relevance:
    """The groups and roles of N images. Relevant to a query are the gallery's images of its group, but for itself."""

    rule: str
    """What says it: holidays, classes, or the path of a CSV."""
    groups: IntArray
    """int64 [N]: -1 for an image of no group."""
    names: Sequence[str]
    """Of the groups."""
    is_query: BoolArray
    """[N]."""
    is_gallery: BoolArray
    """[N]; a query may be in the gallery, too, and is then left out of its own ranking."""


def relevance_of(rule: str, images: Embeddings, gallery: str) -> Relevance:
    """Return which images are queries, and what is relevant to them.

    Args:
        rule: auto, holidays, classes, or the path of a CSV.
        images: with their names and labels.
        gallery: one of `GALLERIES`, for classes; empty for the first.

    Raises:
        TrainError: the images do not have what the rule goes by, or there is no query or no gallery.
    """
    if rule == AUTO:
        rule = _recognized(images)
    if gallery and rule != CLASSES:
        raise TrainError(f"--gallery {gallery} is for classes, and relevance goes by {rule} here; leave it out")
    if rule == HOLIDAYS:
        found = by_names(images.images["key"].to_pylist(), images.name)
    elif rule == CLASSES:
        found = _by_classes(images, gallery or GALLERIES[0])
    else:
        found = _by_list(read_group_list(Path(rule)), images)
    for what, chosen in (("queries", found.is_query), ("images to look for", found.is_gallery)):
        if not chosen.any():
            raise TrainError(f"{images.name}: there are no {what} by the rule {rule}")
    return found


def _recognized(images: Embeddings) -> str:
    if images.images["split"].null_count < len(images):
        return CLASSES
    if are_holidays(images.images["key"].to_pylist()):
        return HOLIDAYS
    raise no_relevance(images.name)


def no_relevance(name: str) -> TrainError:
    """Return the error of images that do not say which of them are relevant to which."""
    return TrainError(
        f"{name}: nothing says which images are relevant to which; give --relevance with a CSV of path,group"
    )


def several_classes(name: str) -> TrainError:
    """Return the error of images with any number of classes."""
    return TrainError(
        f"{name}: images with several classes have no one group; give --relevance with a CSV of path,group"
    )


def are_holidays(keys: Sequence[str]) -> bool:
    """Return whether all images are named as Holidays' are, by six digits."""
    return all(_NUMBER.fullmatch(PurePath(key).stem) for key in keys)


def by_names(keys: Sequence[str], name: str) -> Relevance:
    """Return the relevance by Holidays' names: four digits of the group and two of the image, 00 for the query.

    Args:
        keys: of the N images: their paths.
        name: what messages call them.

    Raises:
        TrainError: one has another name, or two have the same one.
    """
    stems = [PurePath(key).stem for key in keys]
    if wrong := [stem for stem in stems if not _NUMBER.fullmatch(stem)]:
        raise TrainError(f"{name}: {wrong[0]} is not named as Holidays' images are, by six digits")
    repeated, count = Counter(stems).most_common(1)[0]
    if count > 1:
        raise TrainError(f"{name}: {count} images are named {repeated}; keep one of them")
    groups, names = _numbered([stem[:4] for stem in stems])
    is_query = np.array([stem[4:] == "00" for stem in stems])
    return Relevance(HOLIDAYS, groups, names, is_query, np.ones(len(stems), np.bool_))


def _by_classes(images: Embeddings, gallery: str) -> Relevance:
    classes, splits = images.images["class_index"], images.images["split"]
    if pa.types.is_list(classes.type):
        raise several_classes(images.name)
    if classes.null_count == len(images):
        raise TrainError(f"{images.name}: its images have no classes; give another --relevance")
    groups, names = _numbered([label or "" for label in images.images["label"].to_pylist()])
    split = np.array(splits.to_pylist(), dtype=object)
    is_gallery = np.ones(len(images), np.bool_) if gallery == "all" else split == gallery
    return Relevance(CLASSES, groups, names, split == "val", is_gallery)


def _by_list(listed: GroupList, images: Embeddings) -> Relevance:
    """Return the relevance that a CSV says; images that it does not name are neither queries nor in the gallery."""
    places = {_absolute(path): at for at, path in enumerate(images.images["path"].to_pylist()) if path is not None}
    places |= {key: at for at, key in enumerate(images.images["key"].to_pylist())}
    rows = [places.get(path, places.get(_absolute(listed.folder / path), -1)) for path in listed.paths]
    if missing := [path for path, row in zip(listed.paths, rows, strict=True) if row < 0]:
        raise TrainError(
            f"{listed.source}: {len(missing)} of its images are not in {images.name}; the first is {missing[0]}"
        )
    row, times = Counter(rows).most_common(1)[0]
    if times > 1:
        first, second, *_ = [path for path, at in zip(listed.paths, rows, strict=True) if at == row]
        raise TrainError(f"{listed.source}: {first} and {second} are the same image of {images.name}; list it once")
    groups, names = _numbered(listed.groups)
    all_groups, is_query, is_gallery = np.full(len(images), -1), *np.zeros((2, len(images)), np.bool_)
    all_groups[rows] = groups
    is_query[rows] = [role != "gallery" for role in listed.roles]
    is_gallery[rows] = [role != "query" for role in listed.roles]
    return Relevance(listed.source, all_groups, names, is_query, is_gallery)


def _absolute(path: str | Path) -> str:
    return printable(os.path.abspath(path))  # noqa: PTH100 - millions


def _numbered(labels: Sequence[str]) -> tuple[Any, list[str]]:
    """Return int64 [N], the number of each label among the different ones, -1 for an empty one; and their names."""
    names = sorted(set(labels) - {""})
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers.get(label, -1) for label in labels], np.int64), names
