"""Stage 1, filter: list the images of the dump, and keep the classes with enough of them (paper, section 2.1)."""

from collections import Counter
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import pyarrow as pa

from in21k.prep.errors import PrepError
from in21k.prep.progress_bar import progress_bar
from in21k.prep.raw.dump import RawDump
from in21k.prep.raw.open import open_raw
from in21k.prep.records import CLASSES_SCHEMA, IMAGES_SCHEMA, Kept, Reject, rejects_table
from in21k.prep.stages.places import require_work_place
from in21k.prep.stages.record import CLASSES, IMAGES, StageRecord, digests, finished, locked, write_record
from in21k.prep.stages.select import EVERYTHING, Selection
from in21k.prep.tables import table_writer, write_table
from in21k.shards_manifest.storage.location import Location
from in21k.tree.taxonomy import WordNet

STAGE = "filter"
REJECTS = "filter-rejects.parquet"


@dataclass(frozen=True)
class FilterParameters:
    """The user's choices for `filter`."""

    min_images: int = 500
    """Number of raw images from which on a class is kept; 500 in the paper (section 2.1)."""
    selection: Selection = EVERYTHING
    """Which classes and images are wanted."""

    def recorded(self) -> dict[str, Any]:
        """Return what the stage's record stores."""
        return {"min_images": self.min_images, **self.selection.recorded()}


def filter_classes(raw: Location, work: Location, parameters: FilterParameters) -> StageRecord:
    """List the images of a raw dump, decide which classes are kept, and return the stage's record.

    Writes `images.parquet`, `classes.parquet` and the rejects to `work`. Memory is bounded by the largest class.

    Args:
        raw: the dump, which is only read.
        work: the work folder, created if it does not exist.
        parameters: the user's choices.

    Raises:
        PrepError: the dump is not readable, no class is kept, or `work` was made with other parameters.
    """
    if parameters.min_images < 1:
        raise PrepError(
            f"min_images {parameters.min_images}: a class needs at least one image to be kept; give 1 or more"
        )
    require_work_place(raw, work)
    dump = open_raw(raw, work)
    identity = dump.identity()
    with locked(work):
        record = finished(work, STAGE, parameters.recorded(), identity)
        where = raw.text if "://" in raw.text else raw.path
        if record is None:
            images, rejects = _list_images(dump, work)
            counts = {**_write_classes(images, parameters, work, raw.text), "rejected": len(rejects)}
            write_table(work / REJECTS, rejects_table(rejects))
            outputs = digests(work, IMAGES, CLASSES, REJECTS)
        elif record.notes["raw"] == where:
            return record
        else:
            counts, outputs = dict(record.counts), dict(record.outputs)
        return write_record(
            work,
            StageRecord(
                stage=STAGE,
                parameters=parameters.recorded(),
                inputs=identity,
                counts=counts,
                outputs=outputs,
                notes={"raw": where},
            ),
        )


def _list_images(dump: RawDump, work: Location) -> tuple[Counter[str], list[Reject]]:
    """Write a row per image; return the number of images of each class, and the rejects."""
    images: Counter[str] = Counter()
    rejects: list[Reject] = []
    with (
        table_writer(work / IMAGES, IMAGES_SCHEMA) as writer,
        progress_bar(STAGE, dump.unit, dump.size) as bar,
    ):
        for found in dump.classes():
            if found.wnid:
                images[found.wnid] += len(found.images)
            rejects += found.rejects
            if found.images:
                writer.extend(list(repeat(found.wnid, len(found.images))), *zip(*found.images, strict=True))
            bar.update(found.end - bar.n)
    return images, rejects


def _write_classes(images: Counter[str], parameters: FilterParameters, work: Location, raw: str) -> dict[str, int]:
    """Decide which classes are kept, write a row per class, and return the stage's counts."""
    wnids = sorted(images, key=str.encode)
    reasons = _reasons(wnids, images, parameters)
    kept = [reason is Kept.KEPT for reason in reasons]
    if not any(kept):
        raise _nothing_kept(images, dict(zip(wnids, reasons, strict=True)), parameters.min_images, raw)
    indices = iter(range(len(wnids)))
    columns = [
        wnids,
        [images[wnid] for wnid in wnids],
        kept,
        [reason.value for reason in reasons],
        [next(indices) if is_kept else -1 for is_kept in kept],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, CLASSES_SCHEMA, strict=True)]
    write_table(work / CLASSES, pa.Table.from_arrays(arrays, schema=CLASSES_SCHEMA))
    return {
        "classes": len(wnids),
        "images": images.total(),
        "classes_kept": sum(kept),
        "images_kept": sum(images[wnid] for wnid, is_kept in zip(wnids, kept, strict=True) if is_kept),
        "classes_unknown": reasons.count(Kept.UNKNOWN_WNID),
        **_selection_counts(wnids, reasons, parameters.selection),
    }


def _reasons(wnids: list[str], images: Counter[str], parameters: FilterParameters) -> list[Kept]:
    """Return for each class whether it is kept, or why not."""
    taxonomy = WordNet()
    dropped = parameters.selection.dropped([wnid for wnid in wnids if wnid in taxonomy], taxonomy)
    enough = {wnid for wnid in wnids if images[wnid] >= parameters.min_images}
    return [
        dropped.get(wnid, Kept.KEPT if wnid in enough else Kept.TOO_FEW_IMAGES)
        if wnid in taxonomy
        else Kept.UNKNOWN_WNID
        for wnid in wnids
    ]


def _nothing_kept(images: Counter[str], reasons: dict[str, Kept], min_images: int, raw: str) -> PrepError:
    """Return the error that says why no class is kept, and what to do."""
    small = [images[wnid] for wnid, reason in reasons.items() if reason is Kept.TOO_FEW_IMAGES]
    is_chosen = any(reason.is_choice for reason in reasons.values())
    if is_chosen and not small:
        return PrepError(f"{raw}: none of its {len(reasons)} classes is selected; select others, or exclude fewer")
    most = max(small, default=0)
    remedy = f"(the largest has {most}); lower --min-images" if most else "(none has both an image and such a wnid)"
    which = f"{len(small)} selected classes" if is_chosen else f"{len(reasons)} classes"
    return PrepError(f"{raw}: none of its {which} has {min_images} images and a wnid of WordNet 3.0 {remedy}")


def _selection_counts(wnids: list[str], reasons: list[Kept], selection: Selection) -> dict[str, int]:
    """Return how many classes each rule of a selection drops, and how many listed ones the dump lacks."""
    counts = {f"classes_{reason.word}": reasons.count(reason) for reason in selection.rules()}
    if selection.classes is not None:
        counts["classes_not_in_dump"] = len(selection.classes.difference(wnids))
    return counts
