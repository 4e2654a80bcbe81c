"""Stage 2, split: choose the val images of each kept class, and each image's place in the global shuffle.

The paper holds out 50 images per class for validation (section 2.1).
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.progress_bar import progress_bar
from in21k.prep.records import (
    CLASSES_SCHEMA,
    IMAGES_SCHEMA,
    SPLIT_SCHEMA,
    Kept,
    RawImage,
    Reason,
    Reject,
    rejects_table,
)
from in21k.prep.stages.image_rows import open_image_rows
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
from in21k.prep.tables import table_writer, write_table
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.sample_table import key_prefix
from in21k.shards_manifest.storage.location import Location

STAGE = "split"
REJECTS = "split-rejects.parquet"

_CONVENTIONAL = re.compile(r"[A-Za-z0-9_-]{1,80}")
_OTHERWISE = re.compile(r"[^A-Za-z0-9_-]+")
_READABLE = 70
"""How many characters of a key are not its digest."""


class Order(StrEnum):
    """How images are ranked within their class; the first ones become val."""

    NAME = "name"
    """By byte order of file names, as in the published split."""
    HASH = "hash"
    """By a hash keyed with the seed: unbiased even if the names have an order of their own."""


@dataclass(frozen=True)
class SplitParameters:
    """The user's choices for `split`."""

    val_per_class: int = 50
    """Number of val images of each class; 50 in the paper (section 2.1)."""
    order: Order = Order.NAME
    seed: int = 0
    """Seed of the global shuffle, and of the order by hash."""

    def __post_init__(self) -> None:
        if self.val_per_class < 0:
            raise PrepError(f"--val-per-class {self.val_per_class}: give 0 or more images")
        if not 0 <= self.seed < 1 << 63:
            raise PrepError(f"--seed {self.seed}: give 0 to 2^63 - 1")


def split_images(work: Location, parameters: SplitParameters) -> StageRecord:
    """Rank the images of each kept class, mark the first ones as val, and return the stage's record.

    Reads what `filter` wrote to `work`; writes `split.parquet` and the rejects. Memory is bounded by a few classes.

    Raises:
        PrepError: `filter` has not been done, a class is too small, or `work` was made with other parameters.
    """
    before = required(work, "filter")
    with locked(work):
        inputs = {name: before.outputs[name] for name in (IMAGES, CLASSES)}
        record = finished(work, STAGE, asdict(parameters), inputs)
        if record is not None:
            return record
        kept = _kept_classes(work, parameters.val_per_class)
        rejects: list[Reject] = []
        total = sum(count for _, count in kept.values())
        val = 0
        with _split_table(work, total, is_mixed(before)) as add, progress_bar(STAGE, "img", total) as bar:
            for wnid, images in _images_by_class(work / IMAGES, {wnid: count for wnid, (_, count) in kept.items()}):
                columns = _split_class(wnid, kept[wnid][0], images, parameters, rejects)
                add(*columns)
                val += columns[3].count("val")
                bar.update(len(images))
        write_table(work / REJECTS, rejects_table(rejects))
        counts = {"classes": len(kept), "train": total - len(rejects) - val, "val": val, "rejected": len(rejects)}
        outputs = digests(work, SPLIT, REJECTS)
        record = StageRecord(stage=STAGE, parameters=asdict(parameters), inputs=inputs, counts=counts, outputs=outputs)
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


def sample_key(label: str, name: str) -> str:
    """Return the WebDataset key of an image: the stem of its name if that is `<wnid>_…`, as in ImageNet.

    Keys consist of letters, digits, `_` and `-`, at most 96 of them. Other names become the class's prefix (`<wnid>_`,
    or what `key_prefix` makes of any other label), what can be kept of the stem, and a digest of the whole name, so
    that no two images get the same key.
    """
    prefix = key_prefix(label)
    stem = name.rpartition(".")[0] or name
    if stem.startswith(prefix) and prefix == f"{label}_" and _CONVENTIONAL.fullmatch(stem):
        return stem
    digest = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
    readable = _OTHERWISE.sub("-", stem.removeprefix(f"{label}_"))[: _READABLE - len(prefix)]
    return f"{prefix}{readable}-{digest}"


def keyed_hash(seed: int, purpose: bytes, key: str) -> int:
    """Return a 64-bit hash of a key, independent for each seed and purpose."""
    return int.from_bytes(
        hashlib.blake2b(key.encode(), digest_size=8, key=str(seed).encode(), person=purpose).digest(), "big"
    )


def _kept_classes(work: Location, val_per_class: int) -> dict[str, tuple[int, int]]:
    """Return the class index and number of raw images of each class that is kept for its images."""
    classes = read_columns(work / CLASSES, CLASSES_SCHEMA)
    table = classes.filter(pc.equal(classes["reason"], Kept.KEPT.value)).to_pydict()
    kept = {
        wnid: (index, images)
        for wnid, index, images in zip(table["wnid"], table["class_index"], table["images"], strict=True)
    }
    smallest = min(kept, key=lambda wnid: kept[wnid][1])
    if kept[smallest][1] <= val_per_class:
        raise PrepError(
            f"{work.text}: --val-per-class {val_per_class} leaves no training images of {smallest}, which has "
            f"{kept[smallest][1]} images; lower it, or filter with a higher --min-images"
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


def _split_class(
    wnid: str, class_index: int, images: list[RawImage], parameters: SplitParameters, rejects: list[Reject]
) -> list[Any]:
    """Return the rows of a class as columns of SPLIT_SCHEMA, in the order of the dump; reject duplicate names."""
    unique: dict[str, RawImage] = {}
    for image in images:
        key = sample_key(wnid, image.name)
        first = unique.setdefault(key, image)
        if first is not image:
            detail = f"{first.name} comes first" if first.name != image.name else "comes before in the class"
            rejects.append(Reject(wnid=wnid, name=image.name, stage=STAGE, reason=Reason.DUPLICATE_NAME, detail=detail))
    ranks = _ranks(unique, parameters)
    count = len(unique)
    return [
        list(repeat(class_index, count)),
        list(unique),
        ranks,
        [
            image.given_split or ("val" if rank < parameters.val_per_class else "train")
            for image, rank in zip(unique.values(), ranks, strict=True)
        ],
        [keyed_hash(parameters.seed, b"shuffle", key) for key in unique],
        *(list(column) for column in zip(*unique.values(), strict=True)),
    ]


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
