"""The plan of resize: which classes make up which part; the first run fixes it, and later runs resume it."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from in21k.prep.errors import PrepError
from in21k.prep.records import SPLIT_SCHEMA
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.record import PARTS, SPLIT, has_parts, require_same
from in21k.shards_manifest.json_file import is_count, parse_json, read_json_bytes, require_mapping
from in21k.shards_manifest.storage.location import Location

PLAN = "plan.json"

_MEMORY_FOR_IMAGES = 0.4  # the rest is for the interpreter, read-ahead, and images larger than estimated
_MEMORY_FOR_ONE_IMAGE = 0.85  # as it is decoded: with 600 MiB as many pixels as `max_pixels` allows
_LEAST_FOR_ONE_IMAGE = 64 << 20
_BYTES_PER_PIXEL = 0.55  # of photographs at quality 95
_BYTES_PER_SAMPLE = 2048  # tar headers and padding
_MIN_PARTS = 64  # so that small dumps keep all workers busy, too


@dataclass(frozen=True)
class Part:
    """A group of classes that is resized by one task; of a mixed dump, a piece of it."""

    classes: tuple[int, ...]
    """Class indices; none of a mixed dump, where the images are those of the row groups."""
    row_groups: tuple[int, ...]
    """The row groups of the split table that contain them."""
    images: int
    """Number of images."""


def plan_parts(
    work: Location,
    classes: Collection[int],
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Any],
    memory: int,
    *,
    mixed: bool = False,
) -> list[Part]:
    """Return the parts of a work folder: those that an earlier run planned, or new ones.

    Each class is in one of them; of a mixed dump, each row group of the split table.

    Args:
        work: the work folder, with `split` done.
        classes: the indices of the classes that have images.
        parameters: those of resize, which the plan stores.
        inputs: those of resize, which the plan stores.
        memory: bytes that a worker may use.
        mixed: whether the split table is in the order of the dump, and not class by class.

    Raises:
        PrepError: an earlier run had other parameters or inputs, or `split.parquet` lacks a class.
    """
    path = work / PARTS / PLAN
    wanted = range(_row_group_count(work / SPLIT)) if mixed else classes
    earlier = earlier_parts(work, parameters, inputs)
    if earlier is not None:
        if not _are_all(wanted, earlier, mixed):
            raise _damaged(path, f"it does not have each {'row group' if mixed else 'class'} once")
        return earlier
    pieces = _row_groups(work / SPLIT) if mixed else _classes_in_order(work / SPLIT)
    parts = list(_group(pieces, _images_per_part(work, int(parameters["size"]), memory)))
    if not _are_all(wanted, parts, mixed):
        raise PrepError(
            f"{(work / SPLIT).text} does not have each of the {len(classes)} classes; use another work folder"
        )
    plan = {"parameters": parameters, "inputs": inputs, "parts": [asdict(part) for part in parts]}
    path.write_bytes(json.dumps(plan).encode())
    return parts


def earlier_parts(work: Location, parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[Part] | None:
    """Return the parts that an earlier run planned and began to write, None if there are none.

    Raises:
        PrepError: it had other parameters or inputs, or its plan is damaged.
    """
    path = work / PARTS / PLAN
    if not (path.exists() and has_parts(work)):  # a plan without parts holds for nothing
        return None
    plan, parts = _read_plan(path)
    for name, now in (("parameters", parameters), ("inputs", inputs)):
        require_same(f"{work.text}: resize was started", plan[name], now)
    return parts


def _read_plan(path: Location) -> tuple[Mapping[str, Any], list[Part]]:
    try:
        plan = parse_json(read_json_bytes(path))
        parts = [Part(tuple(p["classes"]), tuple(p["row_groups"]), p["images"]) for p in plan["parts"]]
        require_mapping("parameters", plan["parameters"])
        require_mapping("inputs", plan["inputs"])
        for part in parts:
            if not all(map(is_count, (*part.classes, *part.row_groups, part.images))):
                raise ValueError(f"a part is {part}"[:200])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, str(error)) from error
    return plan, parts


def _damaged(path: Location, seen: str) -> PrepError:
    return PrepError(f"{path.text} is not a plan of resize ({seen}); delete the folder {path.parent.text}")


def _are_all(wanted: Collection[int], parts: list[Part], mixed: bool) -> bool:
    """Return whether each class is in one of the parts, or each row group if the dump is mixed."""
    indices = sorted(index for part in parts for index in (part.row_groups if mixed else part.classes))
    return indices == sorted(wanted) and not (mixed and any(part.classes for part in parts))


def _row_group_count(split: Location) -> int:
    with open_image_rows(split, SPLIT_SCHEMA) as file:
        return len(file)


def memory_for_one_image(memory: int) -> int:
    """Return the bytes that an image's pixels may take in a worker that may use so many.

    A worker that starts takes more than the least of them, so no memory is too little for ordinary images.
    """
    return max(_LEAST_FOR_ONE_IMAGE, int(memory * _MEMORY_FOR_ONE_IMAGE))


def _images_per_part(work: Location, size: int, memory: int) -> int:
    of_memory = int(memory * _MEMORY_FOR_IMAGES / (size * size * _BYTES_PER_PIXEL + _BYTES_PER_SAMPLE))
    with open_image_rows(work / SPLIT, SPLIT_SCHEMA) as file:
        images = file.count
    return min(of_memory, images // _MIN_PARTS)


def _classes_in_order(split: Location) -> Iterator[Part]:
    """Yield each class as a separate part, in the order of the split table."""
    with open_image_rows(split, SPLIT_SCHEMA) as file:
        for group in range(len(file)):
            column = file.read(group, names=["class_index"])["class_index"].to_numpy()
            indices, first, images = np.unique(column, return_index=True, return_counts=True)
            for at in np.argsort(first):
                yield Part((int(indices[at]),), (group,), int(images[at]))


def _row_groups(split: Location) -> Iterator[Part]:
    """Yield each row group of the split table as a separate part."""
    with open_image_rows(split, SPLIT_SCHEMA) as file:
        for group in range(len(file)):
            yield Part((), (group,), len(file.read(group, names=["class_index"])))


def _group(classes: Iterator[Part], images_per_part: int) -> Iterator[Part]:
    """Yield adjacent classes or row groups as one part, of up to `images_per_part` images; larger ones stay single."""
    group: Part | None = None
    for part in classes:
        if group is None:
            group = part
        elif group.images + part.images > images_per_part:
            yield group
            group = part
        else:
            row_groups = tuple(dict.fromkeys(group.row_groups + part.row_groups))
            group = Part(group.classes + part.classes, row_groups, group.images + part.images)
    if group is not None:
        yield group
