"""The global shuffle as a merge: which images are val, and which byte ranges of which parts make up each shard."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.prep.records import PROVISIONAL, SPARE
from in21k.prep.stages.parts import read_part
from in21k.prep.stages.record import PARTS, has_given_split, is_mixed, required
from in21k.shards_manifest.storage.location import Location

IntArray = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]

_NOTHING: IntArray = np.zeros(0, np.int64)

_RANKS_HELD = 1 << 22
"""Ranks in memory before all but the lowest of each class are dropped."""


class Run(NamedTuple):
    """A range of a part's tar."""

    part: int
    """The part's number."""
    offset: int
    size: int


@dataclass(frozen=True, eq=False)
class MergeOrder:
    """The n samples of a split in their global order, each as a byte range of a part."""

    parts: npt.NDArray[np.int32]
    """int32 [n]: the number of the part that contains each sample."""
    offsets: IntArray
    """int64 [n]: where the sample begins in that part's tar."""
    sizes: npt.NDArray[np.int32]
    """int32 [n]: the sample's length in bytes."""
    class_indices: npt.NDArray[np.int32]
    """int32 [n]."""
    checksums: IntArray
    """int64 [n]: the CRC-32 of each sample's bytes; -1 where an older version wrote the part without."""
    rows: npt.NDArray[np.int32]
    """int32 [n]: the sample's row in that part's table."""

    def __len__(self) -> int:
        return len(self.parts)

    def slice(self, start: int, stop: int) -> "MergeOrder":
        """Return the samples from `start` to `stop`."""
        return MergeOrder(
            self.parts[start:stop],
            self.offsets[start:stop],
            self.sizes[start:stop],
            self.class_indices[start:stop],
            self.checksums[start:stop],
            self.rows[start:stop],
        )

    def runs(self) -> tuple[list[Run], IntArray]:
        """Return the ranges of parts that contain these samples and nothing else, and int64 [n], each sample's range.

        Parts are sorted in the global order, so that consecutive samples from one part are adjacent in it. A gap, where
        a sample between them belongs to the other split, begins a new range.
        """
        order = np.lexsort((self.offsets, self.parts))
        parts, offsets = self.parts[order], self.offsets[order]
        ends = offsets + self.sizes[order]
        begins = np.append(True, (parts[1:] != parts[:-1]) | (offsets[1:] != ends[:-1]))[: len(order)]
        first = np.flatnonzero(begins)
        last = np.append(first[1:], len(order))[: len(first)] - 1
        runs = [
            Run(part, offset, end - offset)
            for part, offset, end in zip(
                parts[first].tolist(), offsets[first].tolist(), ends[last].tolist(), strict=True
            )
        ]
        run_of = np.empty(len(order), np.int64)
        run_of[order] = np.cumsum(begins) - 1
        return runs, run_of


@dataclass(frozen=True, eq=False)
class Settlement:
    """Which images of a mixed dump are val, once it is known which of them decode; of any other dump, what parts say.

    As where a class lies in one part, an image that the dump gives no split is val if fewer than `val_per_class`
    images of its class decode and have a lower rank. Images that are dropped count as those that do not decode.
    """

    classes: int
    """The number of kept classes."""
    limits: IntArray | None
    """int64 [classes]: the rank from which on images of a class are no val images; None if nothing is provisional."""
    is_mixed: bool
    """Whether only images that a part calls provisional are settled by rank, not all of them."""
    dropped: IntArray
    """int64 [m]: the codes of images that are dropped, ascending."""

    @classmethod
    def of(cls, work: Location, parts: int, dropped: IntArray = _NOTHING) -> "Settlement":
        """Return the settlement of all parts of a work folder.

        Args:
            work: the work folder.
            parts: the number of its parts.
            dropped: the codes of images that are left out, as by `image_codes`, ascending.

        Raises:
            DamagedPartError: a part's table cannot be read.
            PrepError: `filter` or `split` has not been done.
        """
        filtered = required(work, "filter")
        classes = filtered.counts["classes_kept"] + filtered.counts.get("classes_ancestor", 0)
        mixed = is_mixed(filtered)
        if not mixed and (not len(dropped) or has_given_split(filtered)):
            return cls(classes, None, mixed, dropped)
        val_per_class = int(required(work, "split").parameters["val_per_class"])
        tables = (read_part(work / PARTS, number, classes) for number in range(parts))
        there = (table.filter(pa.array(~_are_dropped(table, dropped))) for table in tables)
        ranks = ((table["class_index"].to_numpy(), table["rank"].to_numpy()) for table in there)
        return cls(classes, val_limits(ranks, classes, val_per_class), mixed, dropped)

    def train_and_val(self, table: pa.Table) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return two bool [rows]: which rows of a part's table are train, and which val; a spare may be neither."""
        split = np.asarray(table["split"])
        is_val: npt.NDArray[np.bool_] = split == "val"
        if self.limits is not None:
            is_low = table["rank"].to_numpy() < self.limits[table["class_index"].to_numpy()]
            is_open = np.isin(split, list(PROVISIONAL.values()))
            is_val = is_val | is_open & is_low if self.is_mixed else is_low
        is_there = ~_are_dropped(table, self.dropped)
        return is_there & ~is_val & (split != PROVISIONAL[SPARE]), is_there & is_val


def image_codes(class_indices: npt.NDArray[np.integer[Any]], ranks: npt.NDArray[np.integer[Any]]) -> IntArray:
    """Return int64 [n]: a number for each image, by its class index and its rank there, by which it is unique."""
    return class_indices.astype(np.int64) << 32 | ranks.astype(np.int64)


def _are_dropped(table: pa.Table, dropped: IntArray) -> npt.NDArray[np.bool_]:
    """Return bool [rows]: which rows of a part's table are among the dropped ones."""
    if not len(dropped):
        return np.zeros(len(table), np.bool_)
    return np.isin(image_codes(table["class_index"].to_numpy(), table["rank"].to_numpy()), dropped)


def val_limits(ranks: Iterable[tuple[Int32Array, Int32Array]], classes: int, val_per_class: int) -> IntArray:
    """Return int64 [classes], for each class the rank below which `val_per_class` of its images lie, if it has as many.

    Args:
        ranks: class index and rank of each image, int32 [n] both, in pieces of any length.
        classes: the number of classes.
        val_per_class: how many images of a class are val; memory is bounded by as many of each class.
    """
    held = np.empty((2, 0), np.int64)
    for class_indices, found in ranks:
        held = np.concatenate([held, np.stack([class_indices, found]).astype(np.int64)], axis=1)
        if held.shape[1] > _RANKS_HELD + 2 * classes * val_per_class:
            held = _lowest(held, val_per_class)
    held = _lowest(held, val_per_class)
    limits = np.zeros(classes, np.int64)
    np.maximum.at(limits, held[0], held[1] + 1)
    return limits


def _lowest(ranks: IntArray, count: int) -> IntArray:
    """Return int64 [2, m], of class indices and ranks the `count` lowest ranks of each class."""
    ranks = ranks[:, np.lexsort((ranks[1], ranks[0]))]
    begins = np.searchsorted(ranks[0], ranks[0])
    lowest: IntArray = ranks[:, np.arange(ranks.shape[1]) - begins < count]
    return lowest


def merge_orders(work: Location, parts: int, dropped: IntArray = _NOTHING) -> dict[str, MergeOrder]:
    """Return the global order of each split over the parts of a work folder: by shuffle key, then class, then rank.

    Sorting takes about 64 bytes of memory per sample.

    Args:
        work: the work folder.
        parts: the number of its parts.
        dropped: the codes of images that are left out, ascending.

    Raises:
        DamagedPartError: the table of a part is damaged.
        PrepError: `filter` or `split` has not been done.
    """
    columns: dict[str, list[list[npt.NDArray[np.generic]]]] = {"train": [], "val": []}
    settlement = Settlement.of(work, parts, dropped)
    for number in range(parts):
        table = read_part(work / PARTS, number, settlement.classes)
        for name, chosen in zip(("train", "val"), settlement.train_and_val(table), strict=True):
            keys = [table[column].to_numpy()[chosen] for column in ("shuffle_key", "class_index", "rank", "offset")]
            sizes = table["size"].to_numpy()[chosen].astype(np.int32)
            checksums = table["crc32"].cast(pa.int64()).fill_null(-1).to_numpy()[chosen]
            rows = np.flatnonzero(chosen).astype(np.int32)
            columns[name].append([*keys, sizes, np.full(len(rows), number, np.int32), checksums, rows])
    return {name: _order(chunks) for name, chunks in columns.items()}


def _order(chunks: list[list[npt.NDArray[np.generic]]]) -> MergeOrder:
    keys, classes, ranks, *columns = (np.concatenate(column) for column in zip(*chunks, strict=True))
    order = np.lexsort((ranks, classes, keys))
    offsets, sizes, parts, checksums, rows = (column[order] for column in columns)
    return MergeOrder(parts, offsets, sizes, classes[order], checksums, rows)
