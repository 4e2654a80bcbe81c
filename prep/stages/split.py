"""Stage 2, split: choose the val images of each kept class, and each image's place in the global shuffle.

The paper holds out 50 images per class for validation (section 2.1).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import compress, groupby, repeat
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.records import (
    IMAGES_SCHEMA,
    SPARE,
    SPLIT_SCHEMA,
    Kept,
    RawImage,
    Reason,
    Reject,
)
from in21k.prep.stages.class_rows import read_class_rows
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.keys import keyed_images, sample_key
from in21k.prep.stages.mixed_order import split_in_dump_order
from in21k.prep.stages.record import (
    CLASSES,
    IMAGES,
    SPLIT,
    StageRecord,
    digests,
    finished,
    is_mixed,
    locked,
    required,
    write_record,
)
from in21k.prep.stages.reject_rows import RejectRows
from in21k.prep.stages.select import ImageSelection, spares
from in21k.prep.stages.split_lists import SplitLists, read_split_lists
from in21k.prep.stages.split_parameters import Order, SplitParameters
from in21k.prep.tables import table_writer, write_table
from in21k.shards_manifest.command.numbers import counted
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.key_hashes import SELECTION, SHUFFLE, keyed_hash
from in21k.shards_manifest.storage.location import Location

STAGE = "split"
REJECTS = "split-rejects.parquet"


def split_images(work: Location, parameters: SplitParameters) -> StageRecord:
    """Rank the images of each kept class, mark the first ones as val, and return the stage's record.

    Reads what `filter` wrote to `work`; writes `split.parquet` and the rejects. Memory is bounded by a few classes.

    Raises:
        PrepError: `filter` has not been done, a class is too small, or `work` was made with other parameters.
    """
    before = required(work, "filter")
    selection = ImageSelection.of(before.parameters)
    if selection.is_listed:
        parameters = replace(parameters, val_per_class=0)
    with locked(work):
        inputs = {name: before.outputs[name] for name in (IMAGES, CLASSES)} | selection.of_split
        record = finished(work, STAGE, asdict(parameters), inputs)
        if record is not None:
            return record
        lists = _lists(work) if selection.is_listed else None
        choice = _Choice(parameters, selection, lists, RejectRows())
        kept = _kept_classes(work, parameters.val_per_class)
        total = sum(count for _, count in kept.values())
        splits: Counter[str] = Counter()
        with _split_table(work, total, is_mixed(before)) as add, Progress(STAGE, "image", total) as bar:
            for wnid, images in _images_by_class(work / IMAGES, {wnid: count for wnid, (_, count) in kept.items()}):
                columns = _split_class(wnid, kept[wnid][0], images, choice)
                if not columns[0]:
                    raise PrepError(f"--split-file: no line names an image of {wnid} that the dump has; --exclude it")
                add(*columns)
                splits.update(columns[3])
                bar.update(len(images))
        write_table(work / REJECTS, choice.rejects.table())
        counts = {
            "classes": len(kept),
            "train": splits["train"],
            "val": splits["val"],
            "rejected": len(choice.rejects),
            **choice.counts(total, splits),
        }
        outputs = digests(work, SPLIT, REJECTS)
        notes = {"unmatched": "; ".join(lists.first_unmatched(work))} if lists and lists.unmatched else {}
        record = StageRecord(STAGE, asdict(parameters), inputs, counts, outputs, notes)
        return write_record(work, record)


@contextmanager
def _split_table(work: Location, images: int, mixed: bool) -> Iterator[Callable[..., None]]:
    """Yield what adds columns of rows to the split table, which is there when the block ends without an exception."""
    if mixed:
        with split_in_dump_order(work, images) as rows:
            yield rows.extend
    else:
        with table_writer(work / SPLIT, SPLIT_SCHEMA) as writer:
            yield writer.extend


@dataclass(frozen=True)
class _Choice:
    """What decides about the images of each class, and what was rejected so far."""

    parameters: SplitParameters
    selection: ImageSelection
    lists: SplitLists | None
    rejects: RejectRows

    def counts(self, images: int, splits: Mapping[str, int]) -> dict[str, int]:
        """Return what there is to count beside train, val and rejects."""
        counts = {}
        if self.selection.thins_out:
            counts["unselected"] = images - splits["train"] - splits["val"] - len(self.rejects)
        if self.lists is not None:
            counts["lines_without_image"] = self.lists.unmatched
            counts["lines_of_dropped_classes"] = self.lists.dropped
        return counts


def _lists(work: Location) -> SplitLists:
    """Return the lists that `filter` copied to the work folder."""
    classes = read_class_rows(work)
    kept = pc.equal(classes["reason"], Kept.KEPT.value).to_pylist()
    return read_split_lists(work, dict(zip(classes["wnid"].to_pylist(), kept, strict=True)), _list_hash)


def _list_hash(label: str, name: str) -> int:
    return keyed_hash(0, b"list", sample_key(label, name))


def _kept_classes(work: Location, val_per_class: int) -> dict[str, tuple[int, int]]:
    """Return the class index and number of raw images of each class that is kept for its images."""
    classes = read_class_rows(work)
    table = classes.filter(pc.equal(classes["reason"], Kept.KEPT.value)).to_pydict()
    kept = {
        wnid: (index, images)
        for wnid, index, images in zip(table["wnid"], table["class_index"], table["images"], strict=True)
    }
    smallest = min(kept, key=lambda wnid: kept[wnid][1])
    if kept[smallest][1] <= val_per_class:
        raise PrepError(
            f"{work.text}: --val-per-class {val_per_class} leaves no training images of {smallest}, which has "
            f"{counted(kept[smallest][1], 'image')}; lower it, or filter with a higher --min-images"
        )
    return kept


def _images_by_class(table: Location, counts: dict[str, int]) -> Iterator[tuple[str, list[RawImage]]]:
    """Yield each kept class with all its images, as soon as the last of them has been read.

    Raises:
        DatasetError: the table is damaged, or does not have as many images of each class.
    """
    pending: dict[str, list[RawImage]] = {}
    waiting = dict(counts)
    with open_image_rows(table, IMAGES_SCHEMA) as file:
        for group in range(len(file)):
            columns = file.read(group).to_pydict()
            rows = map(RawImage, *(columns[name] for name in RawImage._fields))
            for wnid, run in groupby(zip(columns["wnid"], rows, strict=True), key=itemgetter(0)):
                if wnid not in counts:
                    continue
                images = pending.setdefault(wnid, [])
                images.extend(image for _, image in run)
                if len(images) == waiting.get(wnid):
                    del waiting[wnid]
                    yield wnid, pending.pop(wnid)
    if odd := [*waiting, *pending]:
        raise PrepError(f"{table.text} and {CLASSES} differ in the images of {odd[0]}; use another work folder")


def _split_class(wnid: str, class_index: int, images: list[RawImage], choice: _Choice) -> list[Any]:
    """Return the rows of a class as columns of SPLIT_SCHEMA, in the order of the dump.

    Duplicate names, and what lists do not name, are rejected. Of the training images that are not selected, those that
    may have to take the place of a val image are spares; the others have no row.
    """
    unique = _listed(wnid, _unique(wnid, images, choice.rejects), choice)
    ranks = _ranks(unique, choice.parameters)
    splits = _splits(unique, ranks, choice)
    columns: list[list[Any]] = [
        list(repeat(class_index, len(unique))),
        list(unique),
        ranks,
        splits,
        [keyed_hash(choice.parameters.seed, SHUFFLE, key) for key in unique],
        *(map(list, zip(*unique.values(), strict=True)) if unique else ([] for _ in RawImage._fields)),
    ]
    return columns if all(splits) else [list(compress(column, splits)) for column in columns]


def _unique(wnid: str, images: list[RawImage], rejects: RejectRows) -> dict[str, RawImage]:
    """Return a class's images by key; reject those whose key an earlier one has."""
    unique: dict[str, RawImage] = {}
    for key, image in keyed_images(wnid, images):
        first = unique.setdefault(key, image)
        if first is not image:
            detail = f"{first.name} comes first" if first.name != image.name else "comes before in the class"
            rejects.append(Reject(wnid=wnid, name=image.name, stage=STAGE, reason=Reason.DUPLICATE_NAME, detail=detail))
    return unique


def _listed(wnid: str, images: dict[str, RawImage], choice: _Choice) -> dict[str, RawImage]:
    """Return the images that the lists name, with the splits that these give them; all where there are no lists."""
    if choice.lists is None:
        return images
    shared = {sample_key(wnid, image.name.rpartition("/")[2]) for image in images.values() if "/" in image.name}
    by_path = ["/" in image.name or key in shared for key, image in images.items()]
    splits = choice.lists.splits([_list_hash(wnid, image.name) for image in images.values()], by_path)
    for image, split in zip(images.values(), splits, strict=True):
        if not split:
            choice.rejects.append(Reject(wnid=wnid, name=image.name, stage=STAGE, reason=Reason.IN_NO_LIST, detail=""))
    named = zip(images.items(), splits, strict=True)
    return {key: image._replace(given_split=split) for (key, image), split in named if split}


def _splits(images: dict[str, RawImage], ranks: list[int], choice: _Choice) -> list[str]:
    """Return the split of each image of a class: train, val, SPARE, or empty for one that is not selected.

    Val does not depend on the selection. Training images are selected in the order of a keyed hash, so that of two
    selections with the same seed the smaller is part of the larger.
    """
    held_out, seed = choice.parameters.val_per_class, choice.parameters.seed
    splits = [
        image.given_split or ("val" if rank < held_out else "train")
        for image, rank in zip(images.values(), ranks, strict=True)
    ]
    if not choice.selection.thins_out:
        return splits
    keys, given = list(images), [image.given_split for image in images.values()]
    train = [at for at, split in enumerate(splits) if split == "train"]
    train.sort(key=lambda at: (keyed_hash(seed, SELECTION, keys[at]), keys[at]))
    for at in train[choice.selection.wanted(len(train)) :]:
        splits[at] = SPARE if not given[at] and ranks[at] < held_out + spares(held_out) else ""
    return splits


def _ranks(unique: dict[str, RawImage], parameters: SplitParameters) -> list[int]:
    """Return the rank of each image of a class, by name or by hash."""
    if parameters.order is Order.NAME:
        sort_keys: list[Any] = [image.name.encode() for image in unique.values()]
    else:
        sort_keys = [keyed_hash(parameters.seed, b"split", key) for key in unique]
    order = sorted(range(len(sort_keys)), key=sort_keys.__getitem__)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks.tolist()
