"""Stage 1, filter: list the images of the dump, and keep the classes with enough of them (paper, section 2.1)."""

import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from in21k.prep.errors import PrepError
from in21k.prep.raw.choices import AS_GIVEN, SourceChoices
from in21k.prep.raw.dump import identity_of
from in21k.prep.raw.open import open_raw
from in21k.prep.records import CLASSES_SCHEMA, Kept, rejects_table
from in21k.prep.stages.labels import class_labels, taxonomy_parameters, write_taxonomy
from in21k.prep.stages.listing import list_images
from in21k.prep.stages.places import require_work_place
from in21k.prep.stages.record import CLASSES, IMAGES, StageRecord, digests, finished, locked, write_record
from in21k.prep.stages.select import EVERYTHING, Selection
from in21k.prep.stages.split_lists import LISTS, listed_classes
from in21k.prep.tables import write_table
from in21k.shards_manifest.storage.location import Location
from in21k.tree.taxonomy import Taxonomy, TaxonomyKind, WordNet, labels_above

STAGE = "filter"
REJECTS = "filter-rejects.parquet"


@dataclass(frozen=True)
class FilterParameters:
    """The user's choices for `filter`."""

    min_images: int = 500
    """Number of raw images from which on a class is kept; 500 in the paper (section 2.1)."""
    selection: Selection = EVERYTHING
    """Which classes and images are wanted."""
    taxonomy: Taxonomy = field(default_factory=WordNet)
    """What the labels of the dump's classes are."""

    source: SourceChoices = AS_GIVEN
    """What is said of the dump."""

    @property
    def is_wordnet(self) -> bool:
        """Whether labels are wnids."""
        return self.taxonomy.kind is TaxonomyKind.WORDNET

    def recorded(self) -> dict[str, Any]:
        """Return what the stage's record stores."""
        choices = {**taxonomy_parameters(self.taxonomy), **self.source.recorded(), **self.selection.recorded()}
        return {"min_images": self.min_images, **choices}


def filter_classes(raw: Location, work: Location, parameters: FilterParameters) -> StageRecord:
    """List the images of a raw dump, decide which classes are kept, and return the stage's record.

    Writes `images.parquet`, `classes.parquet` and the rejects to `work`. Memory is bounded, by the largest class.

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
    recorded = parameters.recorded()
    dump = open_raw(raw, work, class_labels(parameters.taxonomy), parameters.source.classes())
    identity = identity_of(dump)
    with locked(work):
        record = finished(work, STAGE, recorded, identity)
        where = raw.text if "://" in raw.text else raw.path
        if record is None:
            listed = list_images(dump, work, STAGE, resplit=parameters.source.resplit)
            copies = _copy_lists(parameters.selection, work)
            counts = {**_write_classes(listed.images, parameters, work, raw.text), "rejected": len(listed.rejects)}
            if listed.given:
                counts["images_given_split"] = listed.given
            write_table(work / REJECTS, rejects_table(listed.rejects))
            outputs = digests(work, IMAGES, CLASSES, REJECTS, *write_taxonomy(parameters.taxonomy, work), *copies)
        elif record.notes["raw"] == where:
            return record
        else:
            counts, outputs = dict(record.counts), dict(record.outputs)
        return write_record(
            work,
            StageRecord(
                stage=STAGE,
                parameters=recorded,
                inputs=identity,
                counts=counts,
                outputs=outputs,
                notes={"raw": where},
            ),
        )


def _copy_lists(selection: Selection, work: Location) -> list[str]:
    """Copy the lists of a split to the work folder, for `split`, and return the copies' names."""
    if selection.lists is None:
        return []
    for path, name in zip(selection.lists, LISTS.values(), strict=True):
        with path.open("rb") as source, (work / name).write() as copy:
            shutil.copyfileobj(source, copy)
    return list(LISTS.values())


def _write_classes(images: Counter[str], parameters: FilterParameters, work: Location, raw: str) -> dict[str, int]:
    """Decide which classes are kept, write a row per class, and return the stage's counts."""
    reasons = _reasons(images, parameters, work)
    kept = [label for label, reason in reasons.items() if reason is Kept.KEPT]
    if not kept:
        raise _nothing_kept(images, reasons, parameters, raw)
    if not parameters.is_wordnet:
        reasons |= dict.fromkeys(_ancestors(kept, parameters), Kept.ANCESTOR)
    labels = sorted(reasons, key=str.encode)
    is_class = [reasons[label] in (Kept.KEPT, Kept.ANCESTOR) for label in labels]
    indices = iter(range(len(labels)))
    columns = [
        labels,
        [images[label] for label in labels],
        is_class,
        [reasons[label].value for label in labels],
        [next(indices) if has_index else -1 for has_index in is_class],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, CLASSES_SCHEMA, strict=True)]
    write_table(work / CLASSES, pa.Table.from_arrays(arrays, schema=CLASSES_SCHEMA))
    found = list(reasons.values())
    return {
        "classes": len(images),
        "images": images.total(),
        "classes_kept": len(kept),
        "images_kept": sum(images[label] for label in kept),
        "classes_unknown": found.count(Kept.UNKNOWN_WNID) + found.count(Kept.UNKNOWN_LABEL),
        **({} if parameters.is_wordnet else {"classes_ancestor": found.count(Kept.ANCESTOR)}),
        **_selection_counts(list(images), found, parameters.selection),
    }


def _reasons(images: Counter[str], parameters: FilterParameters, work: Location) -> dict[str, Kept]:
    """Return for each class of the dump whether it is kept, or why not."""
    taxonomy = parameters.taxonomy
    unknown = Kept.UNKNOWN_WNID if parameters.is_wordnet else Kept.UNKNOWN_LABEL
    dropped = parameters.selection.dropped([label for label in images if label in taxonomy], taxonomy)
    if parameters.selection.lists is not None:
        dropped = dict.fromkeys(images.keys() - listed_classes(work, images), Kept.NOT_LISTED) | dropped
    return {
        label: dropped.get(label, Kept.KEPT if count >= parameters.min_images else Kept.TOO_FEW_IMAGES)
        if label in taxonomy
        else unknown
        for label, count in images.items()
    }


def _ancestors(kept: list[str], parameters: FilterParameters) -> list[str]:
    """Return the labels above the classes that are kept, without those that the user excludes."""
    above = sorted(labels_above(parameters.taxonomy, kept))
    dropped = parameters.selection.dropped(above, parameters.taxonomy)
    return [label for label in above if dropped.get(label, Kept.NOT_LISTED) is Kept.NOT_LISTED]


def _nothing_kept(images: Counter[str], reasons: dict[str, Kept], parameters: FilterParameters, raw: str) -> PrepError:
    """Return the error that says why no class is kept, and what to do."""
    small = [images[label] for label, reason in reasons.items() if reason is Kept.TOO_FEW_IMAGES]
    is_chosen = any(reason.is_choice for reason in reasons.values())
    if is_chosen and not small:
        return PrepError(f"{raw}: none of its {len(reasons)} classes is selected; select others, or exclude fewer")
    name = "wnid" if parameters.is_wordnet else "label"
    most = max(small, default=0)
    remedy = f"(the largest has {most}); lower --min-images" if most else f"(none has both an image and such a {name})"
    which = f"{len(small)} selected classes" if is_chosen else f"{len(reasons)} classes"
    any_label = parameters.taxonomy.kind in (TaxonomyKind.FOLDERS, TaxonomyKind.FLAT)
    what = "" if any_label else f" and a {name} of {parameters.taxonomy.source}"
    return PrepError(f"{raw}: none of its {which} has {parameters.min_images} images{what} {remedy}")


def _selection_counts(wnids: list[str], reasons: list[Kept], selection: Selection) -> dict[str, int]:
    """Return how many classes each rule of a selection drops, and how many listed ones the dump lacks."""
    counts = {f"classes_{reason.word}": reasons.count(reason) for reason in selection.rules()}
    if selection.classes is not None:
        counts["classes_not_in_dump"] = len(selection.classes.difference(wnids))
    return counts
