"""Boxes from COCO's annotation files, which nobody vouches for: what is wrong with one is a row with a reason."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from in21k.shards_manifest.errors import one_line
from in21k.train.data.open_datasets.boxes import LEAST_SIDE, BoxData, Boxes, SkippedBox, with_boxes
from in21k.train.data.open_datasets.coco import annotation_files, folder_of, held_out_rows
from in21k.train.data.open_datasets.image_files import safe_name
from in21k.train.data.open_datasets.label_sets import multi_label_dataset
from in21k.train.data.open_datasets.labeled import LabeledImages, check_listed
from in21k.train.errors import TrainError

LONGEST_FILE = 1 << 32
"""Bytes of an annotation file; COCO's have 450 million."""

LONGEST_SIDE = 1 << 16
"""Of an image, in pixels."""

_EDGE = 1.0
"""Pixels by which a box may reach beyond its image without a word: COCO's own do, by rounding."""

_KEPT = ("images", "annotations", "categories", "id", "name", "file_name", "width", "height")


class _Row(NamedTuple):
    """An annotation, as far as detection needs it and whatever its values are."""

    id: Any
    image: Any
    category: Any
    box: Any
    crowd: Any
    area: Any


@dataclass(frozen=True)
class _Annotated:
    """The images of one annotation file."""

    names: list[str]
    folder: str
    boxes: Boxes
    """Of which the classes are category ids."""
    categories: dict[int, str]
    """Names by id."""
    skipped: list[SkippedBox]

    def rows(self, rows: list[int]) -> "_Annotated":
        """Return some of the images."""
        names = [self.names[row] for row in rows]
        return _Annotated(names, self.folder, self.boxes.rows(rows), self.categories, self.skipped)

    @property
    def listed(self) -> LabeledImages:
        """The images as any list names them."""
        return LabeledImages(self.names, [()] * len(self.names), self.folder)


def open_coco_boxes(
    root: Path, annotations: str = "", val: str = "", val_share: float = 0.0, *, keep_empty: bool = False
) -> BoxData:
    """Return the images of a folder with the boxes of their objects.

    Args:
        root: contains the image folders, such as train2017/ and val2017/.
        annotations: annotation file of the training images; annotations/instances_train*.json by default.
        val: annotation file of the validation images; annotations/instances_val*.json by default. One that lists none
            means no validation.
        val_share: without the latter, the share of the training images to hold out, from 0 to 1; a hash of their names
            decides which.
        keep_empty: whether to train on images without boxes, too; validation always has them.

    Raises:
        TrainError: annotations or images are missing, or the files are not COCO's.
    """
    train_path, val_path = annotation_files(root, annotations, val, val_share)
    train = _read(root, train_path)
    if not train.names:
        raise TrainError(f"{train_path} lists no images")
    held = _read(root, val_path) if val_path is not None else None
    check_listed({str(train_path): train.listed} | ({str(val_path): held.listed} if held else {}))
    skipped = (*train.skipped, *(held.skipped if held else ()))
    if held is None:
        chosen, others = held_out_rows(train.names, val_share)
        train, held = train.rows(chosen), train.rows(others)
    if strangers := held.categories.keys() - train.categories.keys():
        raise TrainError(f"{val_path} has the category {min(strangers)}, which the training annotations lack")
    filled = train.boxes.filled()
    if not filled:
        raise TrainError(f"{train_path} has no box to learn from; {len(skipped)} annotations are damaged")
    return _dataset(root, train if keep_empty else train.rows(filled), held, skipped)


def _dataset(root: Path, train: _Annotated, held: _Annotated, skipped: tuple[SkippedBox, ...]) -> BoxData:
    ids = np.array(sorted(train.categories), np.int64)
    parts = {"train": train, "val": held}
    boxes = {split: _in_classes(part.boxes, ids) for split, part in parts.items()}
    listed = multi_label_dataset(
        name=str(root),
        classes=[train.categories[category] for category in ids.tolist()],
        keys={split: [f"{Path(part.folder).name}/{name}" for name in part.names] for split, part in parts.items()},
        sets={split: own.sets() for split, own in boxes.items()},
        stores={split: part.listed.store for split, part in parts.items()},
        title=f"categories of {root.name}",
    )
    return with_boxes(listed, boxes, skipped)


def _in_classes(boxes: Boxes, ids: Any) -> Boxes:
    """Return boxes with class indices in place of category ids."""
    classes = np.searchsorted(ids, boxes.classes).astype(np.int64)
    return Boxes(boxes.starts, boxes.boxes, classes, boxes.is_crowd, boxes.areas, boxes.sizes)


def _read(root: Path, path: Path) -> _Annotated:
    try:
        if path.stat().st_size > LONGEST_FILE:
            raise TrainError(f"{path} is larger than {LONGEST_FILE >> 30} GiB; give a file of annotations")
        with path.open("rb") as file:
            loaded = json.load(file, object_hook=_slim)
        images = _images(path, loaded["images"])
        categories = _categories(path, loaded["categories"])
        rows = list(loaded["annotations"])
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
    except KeyError as error:
        raise TrainError(f"{path}: {error} is missing") from error
    except (ValueError, TypeError, RecursionError, AttributeError) as error:
        raise TrainError(f"{path} is not a COCO annotation file: {one_line(error)}") from error
    names = [name for name, *_ in images.values()]
    skipped: list[SkippedBox] = []
    boxes = _boxes(list(_sound(path, rows, images, categories, skipped)), images)
    folder = folder_of(root, path, names) if names else root
    return _Annotated(names, str(folder), boxes, categories, skipped)


def _slim(item: dict[str, Any]) -> Any:
    """Keep only what detection needs of an object: COCO's files are large."""
    if "image_id" in item or "category_id" in item:
        return _Row(*(item.get(key) for key in ("id", "image_id", "category_id", "bbox", "iscrowd", "area")))
    return {key: item[key] for key in _KEPT if key in item}


def _images(path: Path, items: list[dict[str, Any]]) -> dict[Any, tuple[str, int, int]]:
    """Return name, width and height of each image by its id, in order."""
    found: dict[Any, tuple[str, int, int]] = {}
    for item in items:
        name = safe_name(item["file_name"], str(path))
        sides: tuple[Any, Any] = (item.get("width"), item.get("height"))
        if not all(type(side) is int and 1 <= side <= LONGEST_SIDE for side in sides):
            shown = one_line(repr(sides), 80)
            raise TrainError(f"{path}: the image {name} has the width and height {shown}; detection needs its pixels")
        if not _is_key(item["id"]) or item["id"] in found:
            raise TrainError(f"{path}: {one_line(repr(item['id']), 80)} is no id of an image, or two have it")
        found[item["id"]] = (name, *sides)
    return found


def _categories(path: Path, items: list[dict[str, Any]]) -> dict[int, str]:
    found: dict[int, str] = {}
    for item in items:
        number = item["id"]
        if type(number) is not int or not 0 <= number < 1 << 62 or number in found:
            raise TrainError(f"{path}: {one_line(repr(number), 80)} is no id of a category, or two have it")
        found[number] = str(item["name"])
    return found


def _sound(
    path: Path,
    rows: list[Any],
    images: Mapping[Any, tuple[str, int, int]],
    categories: Mapping[int, str],
    skipped: list[SkippedBox],
) -> Iterator[_Row]:
    """Yield the annotations that are used, and note those that are not, or not as they stand."""
    for item in rows:
        row = item if isinstance(item, _Row) else _Row(None, None, None, None, None, None)
        size = images[row.image][1:] if _is_key(row.image) and row.image in images else None
        reason = _fault(row, size, categories)
        is_kept = not reason and size is not None and _overhang(row.box, size) > _EDGE
        if reason or is_kept:
            name = images[row.image][0] if size else _shown(row.image)
            why = reason or "reaches out of the image"
            skipped.append(
                SkippedBox(str(path), _shown(row.id), name, _shown(row.category), _shown(row.box), why, is_kept)
            )
        if not reason:
            yield row


def _fault(row: _Row, size: tuple[int, int] | None, categories: Mapping[int, str]) -> str:
    """Return why an annotation cannot be used; nothing if it can."""
    if size is None:
        return "unknown image"
    if type(row.category) is not int or row.category not in categories:
        return "unknown category"
    if not (isinstance(row.box, list) and len(row.box) == 4 and all(type(each) in (int, float) for each in row.box)):
        return "no box"
    if not all(abs(each) < 1e9 for each in row.box):  # nan is not, either
        return "not finite"
    left, top, width, height = map(float, row.box)
    if width < LEAST_SIDE or height < LEAST_SIDE:
        return "no area"
    inside = (
        min(start + side, end) - max(start, 0) for start, side, end in ((left, width, size[0]), (top, height, size[1]))
    )
    return "" if min(inside) >= LEAST_SIDE else "outside the image"


def _overhang(box: list[float], size: tuple[int, int]) -> float:
    """Return by how many pixels a box reaches out of its image."""
    left, top, width, height = box
    return max(-left, -top, left + width - size[0], top + height - size[1])


def _boxes(rows: list[_Row], images: Mapping[Any, tuple[str, int, int]]) -> Boxes:
    place = {image: at for at, image in enumerate(images)}
    owners = np.array([place[row.image] for row in rows], np.int64)
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=len(images)) if len(rows) else np.zeros(len(images), np.int64)
    boxes = np.array([row.box for row in rows], np.float64).reshape(-1, 4)
    return Boxes(
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=boxes[order],
        classes=np.array([row.category for row in rows], np.int64)[order],
        is_crowd=np.array([bool(row.crowd) for row in rows], np.bool_)[order],
        areas=np.array([_area(row) for row in rows], np.float64)[order],
        sizes=np.array([sides for _, *sides in images.values()], np.int64).reshape(-1, 2),
    )


def _area(row: _Row) -> float:
    """Return the area that an annotation states, or that of its box."""
    is_number = type(row.area) in (int, float) and 0 <= row.area < 1e18
    return float(row.area) if is_number else float(row.box[2]) * float(row.box[3])


def _is_key(value: Any) -> bool:
    return type(value) in (int, str)


def _shown(value: Any) -> str:
    return one_line(str(value), 80)
