"""Images with annotations in COCO's format: an image's labels are the categories of all its objects.

Crowd annotations count like any other, since the image shows the category. Images without annotations stay, without
labels: that an image shows none of the classes is to be learned and measured, too. (Code that iterates over
annotations, such as the authors' for MS-COCO, leaves them out.)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.key_hashes import hash_strings
from in21k.train.data.open_datasets.archives import archive_of, still_packed
from in21k.train.data.open_datasets.image_files import safe_name
from in21k.train.data.open_datasets.label_sets import multi_label_dataset
from in21k.train.data.open_datasets.labeled import LabeledImages, check_listed
from in21k.train.data.open_datasets.listed import ListedDataset
from in21k.train.errors import TrainError

ANNOTATIONS = "annotations"
_TRAIN_FILES, _VAL_FILES = "instances_train*.json", "instances_val*.json"


@dataclass(frozen=True)
class Annotated:
    """The images of one annotation file."""

    names: list[str]
    """Paths below the image folder."""
    sets: list[list[int]]
    """Category ids of each image, ascending."""
    categories: dict[int, str]
    """Names by id."""
    folder: str
    """The image folder."""

    @property
    def listed(self) -> LabeledImages:
        """The images as any list names them."""
        return LabeledImages(self.names, self.sets, self.folder)


def is_coco(root: Path) -> bool:
    """Return whether a folder has object annotations where COCO keeps them."""
    return any((root / ANNOTATIONS).glob(_TRAIN_FILES))


def open_coco(root: Path, annotations: str = "", val: str = "", val_share: float = 0.0) -> ListedDataset:
    """Return the images of a folder, labeled with the categories of their objects.

    Args:
        root: contains the image folders, such as train2017/ and val2017/.
        annotations: annotation file of the training images; annotations/instances_train*.json by default.
        val: annotation file of the validation images; annotations/instances_val*.json by default. One that lists none
            means no validation.
        val_share: without the latter, the share of the training images to hold out, from 0 to 1; a hash of their names
            decides which.

    Raises:
        TrainError: annotations or images are missing, or the annotations are damaged.
    """
    train_path, val_path = annotation_files(root, annotations, val, val_share)
    train = _read(root, train_path)
    if not train.names:
        raise TrainError(f"{train_path} lists no images")
    held = _read(root, val_path) if val_path is not None else None
    check_listed({str(train_path): train.listed} | ({str(val_path): held.listed} if held else {}))
    if held is None:
        train, held = _hold_out(train, val_share)
    if strangers := held.categories.keys() - train.categories.keys():
        raise TrainError(f"{val_path} has the category {min(strangers)}, which the training annotations lack")
    ids = sorted(train.categories)
    index = {category: number for number, category in enumerate(ids)}
    parts = {"train": train, "val": held}
    return multi_label_dataset(
        name=str(root),
        classes=[train.categories[category] for category in ids],
        keys={split: [f"{Path(part.folder).name}/{name}" for name in part.names] for split, part in parts.items()},
        sets={split: [[index[category] for category in found] for found in part.sets] for split, part in parts.items()},
        stores={split: part.listed.store for split, part in parts.items()},
        title=f"categories of {root.name}",
    )


def annotation_files(root: Path, annotations: str, val: str, val_share: float) -> tuple[Path, Path | None]:
    """Return the annotation files of the training and the validation images; None where a share is held out.

    Args:
        root: contains annotations/.
        annotations: of the training images; annotations/instances_train*.json by default.
        val: of the validation images; annotations/instances_val*.json by default.
        val_share: the share of the training images to hold out.

    Raises:
        TrainError: there are none or several, or both a file and a share.
    """
    train_path = Path(annotations) if annotations else _only_file(root, _TRAIN_FILES)
    val_path = Path(val) if val else _only_file(root, _VAL_FILES, required=not val_share)
    if val_path is not None and val_share:
        raise TrainError(f"{val_path} annotates validation images; leave --val-share out")
    assert train_path is not None
    return train_path, val_path


def _only_file(root: Path, pattern: str, *, required: bool = True) -> Path | None:
    """Return the one annotation file of a pattern; None if there is none and none is required."""
    found = sorted((root / ANNOTATIONS).glob(pattern))
    if len(found) == 1:
        return found[0]
    if found:
        raise TrainError(f"{root / ANNOTATIONS} has {len(found)} files {pattern}; choose with --annotations and --val")
    if required:
        raise TrainError(
            f"{root / ANNOTATIONS} has no {pattern}; give the file (--annotations, --val) or a --val-share"
        )
    return None


def _read(root: Path, path: Path) -> Annotated:
    """Return an annotation file, keeping only the image and category of each object: COCO's files are large."""
    try:
        with path.open("rb") as file:
            loaded = json.load(file, object_hook=_slim)
        images = {image["id"]: safe_name(image["file_name"], str(path)) for image in loaded["images"]}
        categories = {int(category["id"]): str(category["name"]) for category in loaded["categories"]}
        sets: dict[Any, set[int]] = {image: set() for image in images}
        for image, category in loaded["annotations"]:
            sets[image].add(category)
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
    except KeyError as error:
        raise TrainError(f"{path}: {error} is missing, or an annotation refers to it and nothing lists it") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise TrainError(f"{path} is not a COCO annotation file: {one_line(error)}") from error
    if unknown := set().union(*sets.values()) - categories.keys():
        raise TrainError(f"{path}: an annotation has the category {unknown.pop()}, which nothing lists")
    names = list(images.values())
    folder = folder_of(root, path, names) if names else root
    return Annotated(names, [sorted(sets[image]) for image in images], categories, str(folder))


def _slim(item: dict[str, Any]) -> Any:
    if "category_id" in item and "image_id" in item:
        return item["image_id"], item["category_id"]
    return {key: item[key] for key in _KEPT if key in item}


_KEPT = ("images", "annotations", "categories", "id", "name", "file_name")


def folder_of(root: Path, path: Path, names: Sequence[str]) -> Path:
    """Return the image folder: wherever the first image is, or else train2017 for instances_train2017.json.

    Raises:
        TrainError: there is none.
    """
    own = path.stem.rpartition("_")[2]
    candidates = [root / own, root / "images" / own, root / "images", root]
    for folder in candidates:
        if (folder / names[0]).is_file():
            return folder
    for folder in candidates[:2]:
        if folder.is_dir():
            return folder
    for folder in candidates[:2]:
        if archive := archive_of(folder.parent, own):
            raise still_packed(archive)
    raise TrainError(f"{path} lists the image {names[0]}, which is in none of {', '.join(map(str, candidates))}")


def _hold_out(part: Annotated, share: float) -> tuple[Annotated, Annotated]:
    train, held = held_out_rows(part.names, share)
    return _rows(part, train), _rows(part, held)


def held_out_rows(names: Sequence[str], share: float) -> tuple[list[int], list[int]]:
    """Return the rows of the images to train on, and of a share of them to validate on, by a hash of their names.

    Raises:
        TrainError: one of the two would be empty.
    """
    order = np.argsort(hash_strings(names), kind="stable").tolist()
    count = int(np.ceil(share * len(order)))
    if not 0 < count < len(order):
        raise TrainError(
            f"holding out a share of {share:g} of {len(order)} images leaves none to train on or to validate on"
        )
    return sorted(order[count:]), sorted(order[:count])


def _rows(part: Annotated, rows: Sequence[int]) -> Annotated:
    return Annotated([part.names[row] for row in rows], [part.sets[row] for row in rows], part.categories, part.folder)
