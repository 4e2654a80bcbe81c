"""Stage 3, resize: decode, resize and encode each image once, a group of classes per task (paper, section 2.1)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers, run_tasks
from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.images.resize_image import Resized, decoder_versions, resize_image
from in21k.prep.progress_bar import progress_bar
from in21k.prep.raw.open import open_raw
from in21k.prep.raw.read_ahead import read_ahead
from in21k.prep.records import CLASSES_SCHEMA, SPLIT_SCHEMA, Reason, Reject
from in21k.prep.stages.held import HeldBytes, Place, holding
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.labels import class_labels, work_taxonomy
from in21k.prep.stages.part_plan import Part, memory_for_one_image, plan_parts
from in21k.prep.stages.parts import (
    ResizedImage,
    discarding_damaged,
    is_complete,
    read_part,
    read_part_rejects,
    write_part,
)
from in21k.prep.stages.record import (
    CLASSES,
    PARTS,
    SPLIT,
    StageRecord,
    finished,
    locked,
    read_record,
    required,
    write_record,
)
from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location, locate

STAGE = "resize"

_Decoded: TypeAlias = tuple[dict[str, Any], Place, bool]
"""An image's row of the split table, where the resized image is held, and whether libjpeg warned."""

DEFAULT_MEMORY = 600 << 20
"""Bytes that a worker may use."""


@dataclass(frozen=True)
class PartTask:
    """A part to write."""

    work: Location
    raw: Location
    number: int
    part: Part
    wnids: Mapping[int, str]
    """The wnids of its classes, by class index."""
    val_per_class: int
    parameters: ResizeParameters
    memory: int
    """Bytes that the pixels of an image may take, together with the resized images that are in memory."""

    @property
    def name(self) -> str:
        """What to call it in an error: its classes."""
        wnids = list(self.wnids.values())
        return f"classes {wnids[0]} to {wnids[-1]}" if len(wnids) > 1 else f"class {wnids[0]}"


def resize_images(
    work: Location,
    parameters: ResizeParameters,
    workers: Workers,
    memory: int = DEFAULT_MEMORY,
    raw: Location | None = None,
) -> StageRecord:
    """Resize the images of the kept classes into sorted parts and return the stage's record.

    Resumes a run that was killed. Neither `workers` nor `memory` changes an image, but one too large for `memory` is
    rejected.

    Args:
        work: the work folder, with `filter` and `split` done.
        parameters: the user's choices.
        workers: who does it.
        memory: bytes that each worker may use; the parts, of which the shards hold no trace, depend on it.
        raw: the dump, with what gives access to it; by default where `filter` noted it.

    Raises:
        PrepError: an earlier stage is missing, the dump is gone or changed, or `work` was made with other parameters.
    """
    split = required(work, "split")
    with locked(work), discarding_damaged(work):
        inputs = {SPLIT: split.outputs[SPLIT], **decoder_versions(parameters.format)}
        record = finished(work, STAGE, asdict(parameters), inputs)
        if record is not None:
            return record
        dump = _unchanged_dump(work, raw)
        folder = work / PARTS
        folder.make_folder()
        folder.remove_temporaries()
        wnids = _kept_wnids(work)
        parts = plan_parts(work, len(wnids), asdict(parameters), inputs, memory)
        val_per_class, room = int(split.parameters["val_per_class"]), memory_for_one_image(memory)
        new_task = partial(
            PartTask, work=work, raw=dump, val_per_class=val_per_class, parameters=parameters, memory=room
        )
        todo = [
            new_task(number=number, part=part, wnids={at: wnids[at] for at in part.classes})
            for number, part in enumerate(parts)
            if not is_complete(folder, number)
        ]
        total = sum(part.images for part in parts)
        done = total - sum(task.part.images for task in todo)
        with progress_bar(STAGE, "img", total, done) as bar:
            for images in run_tasks(resize_part, todo, workers):
                bar.update(images)
        counts = _counts(work, len(parts), len(wnids), val_per_class)
        return write_record(work, StageRecord(STAGE, asdict(parameters), inputs, counts))


def is_resized(work: Location) -> bool:
    """Return whether resize has been done in a work folder."""
    return read_record(work, STAGE) is not None


def resize_part(task: PartTask) -> int:
    """Write one part and return the number of images that were read for it (a worker's task)."""
    rows = _rows(task)
    decoded: dict[int, list[_Decoded]] = {index: [] for index in task.part.classes}
    rejects: list[Reject] = []
    folder, suffix = task.work / PARTS, task.parameters.format.suffix
    with holding(folder) as held:
        for row, data in read_ahead(task.raw, task.work, rows):
            index = row["class_index"]
            try:
                image = _resized(data, task, held)
            except ImageError as error:
                reason, wnid = Reason(error.fault), task.wnids[index]
                rejects.append(Reject(wnid=wnid, name=row["name"], stage=STAGE, reason=reason, detail=error.detail))
            else:
                decoded[index].append((row, held.append(image.data), image.warned))
        images = [image for of_class in decoded.values() for image in _with_splits(of_class, task)]
        write_part(folder, task.number, images, held, suffix, rejects)
    return len(rows)


def _resized(data: bytes, task: PartTask, held: HeldBytes) -> Resized:
    """Return a resized image; if it needs more memory than those that are held leave, they go to a file.

    Raises:
        ImageError: as `resize_image`.
    """
    if held.in_memory:
        try:
            return resize_image(data, task.parameters, task.memory - held.in_memory - len(data))
        except ImageError as error:
            if error.fault is not ImageFault.TOO_MANY_PIXELS:
                raise
        held.spill()
    return resize_image(data, task.parameters, task.memory)


def _with_splits(decoded: list[_Decoded], task: PartTask) -> list[ResizedImage]:
    """Return a class's images with their splits: those that the dump gives, or val for the lowest ranks that decode."""
    by_rank = sorted(decoded, key=lambda image: image[0]["rank"])
    return [
        ResizedImage(
            split=row["given_split"] or ("val" if position < task.val_per_class else "train"),
            shuffle_key=row["shuffle_key"],
            class_index=row["class_index"],
            rank=row["rank"],
            key=row["key"],
            image=image,
            warned=warned,
        )
        for position, (row, image, warned) in enumerate(by_rank)
    ]


def _rows(task: PartTask) -> list[dict[str, Any]]:
    """Return the rows of the split table for a part's classes, in the order of the dump."""
    with open_image_rows(task.work / SPLIT, SPLIT_SCHEMA) as file:
        table = file.read(*task.part.row_groups)
    chosen = pc.is_in(table["class_index"], value_set=pa.array(task.part.classes, pa.int32()))
    rows: list[dict[str, Any]] = table.filter(chosen).to_pylist()
    return sorted(rows, key=lambda row: (row["archive"], row["offset"]))


def _unchanged_dump(work: Location, given: Location | None) -> Location:
    """Return the dump that `filter` read.

    Raises:
        PrepError: it is gone or has changed.
    """
    record = required(work, "filter")
    raw = given or locate(record.notes["raw"])
    if open_raw(raw, work, class_labels(work_taxonomy(work))).identity() != record.inputs:
        raise PrepError(f"{raw.text} has changed since `in21k-prep filter` read it; use another work folder")
    return raw


def _kept_wnids(work: Location) -> list[str]:
    """Return the wnids of the kept classes in order of class index."""
    classes = read_columns(work / CLASSES, CLASSES_SCHEMA)
    wnids: list[str] = classes.filter(classes["kept"])["wnid"].to_pylist()
    return wnids


def _counts(work: Location, parts: int, classes: int, val_per_class: int) -> dict[str, int]:
    """Return the stage's counts over all parts."""
    counts = {"train": 0, "val": 0, "rejected": 0, "damaged_kept": 0}
    val_of_class = np.zeros(classes, np.int64)
    folder = work / PARTS
    for number in range(parts):
        table = read_part(folder, number, classes)
        is_val = np.asarray(table["split"]) == "val"
        val_of_class += np.bincount(table["class_index"].to_numpy()[is_val], minlength=classes)
        counts["train"] += int((~is_val).sum())
        counts["val"] += int(is_val.sum())
        counts["damaged_kept"] += pc.sum(table["warned"]).as_py() or 0
        counts["rejected"] += len(read_part_rejects(folder, number))
    ancestors = required(work, "filter").counts.get("classes_ancestor", 0)  # classes without images of their own
    short = int((val_of_class < val_per_class).sum()) - (ancestors if val_per_class else 0)
    return {**counts, "classes_short_of_val": short}
