"""Stage 3, resize: decode, resize and encode each image once, a group of classes per task (paper, section 2.1)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers, run_tasks
from in21k.prep.images.fingerprint import Fingerprint, Fingerprinter
from in21k.prep.images.parameters import DEFAULT_MEMORY, ResizeParameters
from in21k.prep.images.resize_image import Resized, decoder_versions, resize_image
from in21k.prep.raw.dump import identity_of
from in21k.prep.raw.open import open_raw, open_source
from in21k.prep.raw.read_ahead import read_ahead
from in21k.prep.raw.source import Content, Row, require_bytes
from in21k.prep.records import PROVISIONAL, SPARE, SPLIT_SCHEMA, Kept, Reason, Reject
from in21k.prep.stages.class_rows import read_class_rows
from in21k.prep.stages.held import HeldBytes, Place, holding
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.labels import class_labels, work_taxonomy
from in21k.prep.stages.merge import Settlement
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
    PARTS,
    SPLIT,
    StageRecord,
    finished,
    is_mixed,
    locked,
    required,
    write_record,
)
from in21k.prep.stages.select import ImageSelection
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.shards_manifest.storage.location import Location, locate

STAGE = "resize"

_Decoded: TypeAlias = tuple[dict[str, Any], Place, bool]
"""An image's row of the split table, where the resized image is held, and whether libjpeg warned."""


@dataclass(frozen=True)
class PartTask:
    """A part to write."""

    work: Location
    raw: Location
    number: int
    part: Part
    wnids: Mapping[int, str]
    """The wnids of its classes, by class index; all wnids if the dump is mixed."""
    layout: str
    """That of the dump."""
    val_per_class: int
    parameters: ResizeParameters
    memory: int
    """Bytes that the pixels of an image may take, together with the resized images that are in memory."""

    @property
    def name(self) -> str:
        """What to call it in an error: its classes, or its place in a mixed dump."""
        if not self.part.classes:
            return f"part {self.number} of the dump"
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
    split, parameters = required(work, "split"), with_selection(parameters, work)
    with locked(work), discarding_damaged(work):
        inputs = resize_inputs(split, parameters)
        record = finished(work, STAGE, parameters.recorded(), inputs)
        if record is not None:
            return record
        dump = _unchanged_dump(work, raw)
        folder = work / PARTS
        folder.make_folder()
        folder.remove_temporaries()
        mixed, wnids = is_mixed(required(work, "filter")), _wnids_with_images(work)
        parts = plan_parts(work, wnids, parameters.recorded(), inputs, memory, mixed=mixed)
        tasks = _tasks(work, dump, parts, wnids, parameters, memory)
        todo = [task for task in tasks if not is_complete(folder, task.number)]
        total = sum(part.images for part in parts)
        done = total - sum(task.part.images for task in todo)
        with Progress(STAGE, "image", total, done) as bar:
            for images in run_tasks(resize_part, todo, workers):
                bar.update(images)
        counts = _counts(work, len(parts), list(wnids))
        return write_record(work, StageRecord(STAGE, parameters.recorded(), inputs, counts))


def with_selection(parameters: ResizeParameters, work: Location) -> ResizeParameters:
    """Return the parameters of resize with what `filter` notes about the images that are wanted."""
    return replace(parameters, min_side=ImageSelection.of(required(work, "filter").parameters).min_side)


def resize_inputs(split: StageRecord, parameters: ResizeParameters) -> dict[str, str]:
    """Return what resize reads and is made with: the split table's digest, and the versions of the decoders."""
    return {SPLIT: split.outputs[SPLIT], **decoder_versions(parameters.format)}


def resize_part(task: PartTask) -> int:
    """Write one part and return the number of images that were read for it (a worker's task)."""
    rows = _rows(task)
    decoded, found = list[_Decoded](), Fingerprinter()
    rejects: list[Reject] = []
    folder, suffix = task.work / PARTS, task.parameters.format.suffix
    with holding(folder) as held, closing(open_source(task.raw, task.work, task.layout)) as source:
        for row, content in read_ahead(source, rows):
            try:
                image = _resized(content, task, held)
            except ImageError as error:
                reason, wnid = Reason(error.fault), task.wnids[row["class_index"]]
                rejects.append(Reject(wnid=wnid, name=row["name"], stage=STAGE, reason=reason, detail=error.detail))
            else:
                decoded.append((row, held.append(image.data), image.warned))
                found.add(image.sketch)
        write_part(folder, task.number, _with_splits(decoded, found.all(), task), held, suffix, rejects)
    return len(rows)


def _resized(content: Content, task: PartTask, held: HeldBytes) -> Resized:
    """Return a resized image; if it needs more memory than those that are held leave, they go to a file.

    Raises:
        ImageError: as `resize_image`, or the dump does not give it.
    """
    data = require_bytes(content)
    if held.in_memory:
        try:
            return resize_image(data, task.parameters, task.memory - held.in_memory - len(data))
        except ImageError as error:
            if error.fault is not ImageFault.TOO_MANY_PIXELS:
                raise
        held.spill()
    return resize_image(data, task.parameters, task.memory)


def _with_splits(decoded: list[_Decoded], found: list[Fingerprint], task: PartTask) -> list[ResizedImage]:
    """Return images with their splits, without the spares that do not become val."""
    splits = _splits([row for row, *_ in decoded], task)
    return [
        ResizedImage(
            split=split,
            shuffle_key=row["shuffle_key"],
            class_index=row["class_index"],
            rank=row["rank"],
            key=row["key"],
            image=image,
            warned=warned,
            fingerprint=fingerprint,
        )
        for (row, image, warned), split, fingerprint in zip(decoded, splits, found, strict=True)
        if split
    ]


def _splits(rows: list[Row], task: PartTask) -> list[str]:
    """Return the split of each image that decodes: that which the dump gives, or val for the lowest ranks of its class.

    A part of a mixed dump does not hold whole classes, so that these are provisional. A spare that does not become val
    has none.
    """
    if not task.part.classes:
        return [row["given_split"] or PROVISIONAL[row["split"]] for row in rows]
    splits = [row["given_split"] for row in rows]
    seen: Counter[int] = Counter()
    for at in sorted(range(len(rows)), key=lambda at: rows[at]["rank"]):
        index = rows[at]["class_index"]
        others = "" if rows[at]["split"] == SPARE else "train"
        splits[at] = splits[at] or ("val" if seen[index] < task.val_per_class else others)
        seen[index] += 1
    return splits


def _tasks(
    work: Location,
    raw: Location,
    parts: list[Part],
    wnids: Mapping[int, str],
    parameters: ResizeParameters,
    memory: int,
) -> Iterator[PartTask]:
    """Yield a task for each part."""
    layout, val_per_class = (
        required(work, "filter").inputs["layout"],
        required(work, "split").parameters["val_per_class"],
    )
    for number, part in enumerate(parts):
        yield PartTask(
            work=work,
            raw=raw,
            number=number,
            part=part,
            wnids={at: wnids[at] for at in part.classes} or wnids,
            layout=layout,
            val_per_class=val_per_class,
            parameters=parameters,
            memory=memory_for_one_image(memory),
        )


def _rows(task: PartTask) -> list[Row]:
    """Return the rows of the split table for a part, in the order of the dump."""
    with open_image_rows(task.work / SPLIT, SPLIT_SCHEMA) as file:
        table = file.read(*task.part.row_groups)
    if task.part.classes:
        table = table.filter(pc.is_in(table["class_index"], value_set=pa.array(task.part.classes, pa.int32())))
    rows: list[Row] = table.to_pylist()
    return sorted(rows, key=lambda row: (row["archive"], row["offset"]))


def _unchanged_dump(work: Location, given: Location | None) -> Location:
    """Return the dump that `filter` read.

    Raises:
        PrepError: it is gone or has changed.
    """
    record = required(work, "filter")
    raw = given or locate(record.notes["raw"])
    if identity_of(open_raw(raw, work, class_labels(work_taxonomy(work)))) != record.inputs:
        raise PrepError(f"{raw.text} has changed since `in21k-prep filter` read it; use another work folder")
    return raw


def _wnids_with_images(work: Location) -> dict[int, str]:
    """Return the wnids of the classes that are kept for their images, by class index."""
    classes = read_class_rows(work)
    kept = classes.filter(pc.equal(classes["reason"], Kept.KEPT.value))
    return dict(zip(kept["class_index"].to_pylist(), kept["wnid"].to_pylist(), strict=True))


def _counts(work: Location, parts: int, classes: list[int]) -> dict[str, int]:
    """Return the stage's counts over all parts."""
    folder, settlement = work / PARTS, Settlement.of(work, parts)
    val_per_class = int(required(work, "split").parameters["val_per_class"])
    counts = {"train": 0, "val": 0, "rejected": 0, "damaged_kept": 0}
    size = max(classes) + 1
    val_of_class = np.zeros(size, np.int64)
    for number in range(parts):
        table = read_part(folder, number, size)
        is_train, is_val = settlement.train_and_val(table)
        val_of_class += np.bincount(table["class_index"].to_numpy()[is_val], minlength=size)
        counts["train"] += int(is_train.sum())
        counts["val"] += int(is_val.sum())
        counts["damaged_kept"] += int(table["warned"].to_numpy()[is_train | is_val].sum())
        counts["rejected"] += len(read_part_rejects(folder, number))
    return {**counts, "classes_short_of_val": int((val_of_class[classes] < val_per_class).sum())}
