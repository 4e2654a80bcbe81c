"""iNaturalist's competitions (2018, 2019, 2021): a species per image, in COCO's format with a taxonomy beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from in21k.shards_manifest.errors import one_line
from in21k.train.data.open_datasets.image_files import safe_name
from in21k.train.data.open_datasets.labeled import (
    NO_IMAGES,
    LabeledImages,
    check_listed,
    held_out,
    labeled_dataset,
)
from in21k.train.data.open_datasets.listed import ListedDataset
from in21k.train.data.open_datasets.packed import in_tars
from in21k.train.errors import TrainError

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
"""What lies above a species."""
CATEGORIES = "categories.json"
"""The file of taxonomies of the years whose annotations came without names."""
MOST_BYTES = 4 << 30
"""Of a file of annotations; that of 2021 has less than a tenth of it."""

_START = 1 << 12
"""Bytes of a file of annotations that tell it from other JSON."""
_YEARS = ("2021", "2019", "2018")
_TRAIN = (*(f"train{year}.json" for year in _YEARS), "train.json", "train_mini.json")
_VAL = (*(f"val{year}.json" for year in _YEARS), "val.json")
_KEPT = ("images", "annotations", "categories", "id", "name", "file_name", *RANKS)


@dataclass(frozen=True)
class _Annotated:
    """A file of annotations."""

    source: str
    names: list[str]
    categories: list[int]
    """The category of each image."""
    taxonomy: dict[int, tuple[str, ...]]
    """By category: the names of its ranks and then its own."""


def is_inaturalist(root: Path) -> bool:
    """Return whether a folder holds annotations under iNaturalist's names, which begin as COCO's do."""
    path = _found(root, _TRAIN)
    if path is None:
        return False
    with path.open("rb") as file:
        start = file.read(_START)
    return any(f'"{key}"'.encode() in start for key in ("info", "images", "categories", "annotations"))


def open_inaturalist(
    root: Path, annotations: str = "", val: str = "", images: str = "", val_share: float = 0.0
) -> ListedDataset:
    """Return the images of a year, with the species as classes in the order of their ids, and the ranks above them.

    Args:
        root: holds the annotations, and the image folders as their archives have them, or these as plain tars.
        annotations: those of the training images; train2019.json, train.json or another year's by default.
        val: those of the validation images; val2019.json, val.json or another year's by default. Annotations without
            images mean no validation.
        images: the folder in which the paths begin; the root by default.
        val_share: without annotations of validation images, the share of each species to hold out, from 0 to 1.

    Raises:
        TrainError: annotations are missing or damaged, an image has not one species, or is missing, or an archive is
            still gzipped.
    """
    train_path = Path(annotations) if annotations else _found(root, _TRAIN)
    val_path = Path(val) if val else _found(root, _VAL)
    if train_path is None:
        raise TrainError(f"{root} has none of {', '.join(_TRAIN)}; name the file with --annotations")
    if val_path is not None and val_share:
        raise TrainError(f"{val_path} annotates validation images; leave --val-share out")
    folder = images or str(root)
    train = _read(train_path)
    taxonomy = _named(root, train.taxonomy)
    index = {category: number for number, category in enumerate(sorted(taxonomy))}
    parts = {train.source: _numbered(train, index, folder)}
    if val_path is not None:
        parts[str(val_path)] = _numbered(_read(val_path), index, folder)
    parts = in_tars(Path(folder), parts)
    check_listed(parts, movable=True)
    listed, held = parts[train.source], parts.get(str(val_path), NO_IMAGES)
    if not listed.names:
        raise TrainError(f"{train_path} lists no images")
    if val_path is None:
        listed, held = held_out(listed, val_share, str(train_path))
    classes = _labels([taxonomy[category][-1] for category in index], list(index))
    data = labeled_dataset(str(root), classes, listed, held, f"species of {train_path.name}", single_label=True)
    return replace(data, lineages=[taxonomy[category][:-1] for category in index])


def _found(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_file()), None)


def _labels(names: Sequence[str], ids: Sequence[int]) -> list[str]:
    """Return the names, with its id behind each that several species share."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [name if counts[name] == 1 else f"{name} ({number})" for name, number in zip(names, ids, strict=True)]


def _named(root: Path, taxonomy: dict[int, tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
    """Return the taxonomy as categories.json has it, if that is there."""
    path = root / CATEGORIES
    if not path.is_file():
        return taxonomy
    named = _taxonomy(_loaded(path), path)
    if missing := sorted(taxonomy.keys() - named.keys()):
        raise TrainError(f"{path} lacks the category {missing[0]}; take the file of the same year")
    return {category: named[category] for category in taxonomy}


def _read(path: Path) -> _Annotated:
    loaded = _loaded(path)
    try:
        names = {image["id"]: safe_name(image["file_name"], str(path)) for image in loaded["images"]}
        taxonomy = _taxonomy(loaded["categories"], path)
        species: dict[Any, int] = {}
        for image, category in loaded["annotations"]:
            if names[image] and image in species:
                raise TrainError(f"{path} annotates the image {names[image]} twice; it has one species")
            species[image] = category
        categories = [species[image] for image in names]
    except KeyError as error:
        raise TrainError(
            f"{path}: {error} is missing, an image without annotation, or an annotation without image"
        ) from error
    except (ValueError, TypeError) as error:
        raise TrainError(f"{path} is not a file of iNaturalist's annotations: {one_line(error)}") from error
    if unknown := set(categories) - taxonomy.keys():
        raise TrainError(f"{path}: an annotation has the category {unknown.pop()}, which nothing lists")
    return _Annotated(str(path), list(names.values()), categories, taxonomy)


def _taxonomy(categories: Any, path: Path) -> dict[int, tuple[str, ...]]:
    try:
        return {
            int(category["id"]): (
                *(str(category[rank]).replace("/", "|") for rank in RANKS if category.get(rank)),
                str(category["name"]).replace("/", "|"),
            )
            for category in categories
        }
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise TrainError(f"{path} lists a category without id or name: {one_line(error)}") from error


def _numbered(annotated: _Annotated, index: Mapping[int, int], folder: str) -> LabeledImages:
    if strangers := sorted(set(annotated.categories) - index.keys()):
        raise TrainError(f"{annotated.source} has the category {strangers[0]}, which the training annotations lack")
    return LabeledImages(annotated.names, [(index[category],) for category in annotated.categories], folder)


def _loaded(path: Path) -> Any:
    """Return a file of JSON, keeping of each annotation the ids of its image and category alone: there are millions."""
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise TrainError(f"{path} has {size:,} bytes, over the limit of {MOST_BYTES:,}")
        with path.open("rb") as file:
            return json.load(file, object_hook=_slim)
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise TrainError(f"{path} is not JSON: {one_line(error)}") from error


def _slim(item: dict[str, Any]) -> Any:
    if "category_id" in item and "image_id" in item:
        return item["image_id"], item["category_id"]
    return {key: item[key] for key in _KEPT if key in item}
