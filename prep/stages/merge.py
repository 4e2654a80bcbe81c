"""The global shuffle as a merge: which byte ranges of which parts make up each shard."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.prep.stages.parts import read_part
from in21k.shards_manifest.storage.location import Location

IntArray = npt.NDArray[np.int64]


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
        )

    def ranges(self) -> Iterator[tuple[int, int, int]]:
        """Yield (part, offset, size) of the one range per part that contains its samples, by part number.

        Parts are sorted in the global order, so consecutive samples from one part are adjacent in it.
        """
        by_part = np.argsort(self.parts, kind="stable")
        first = np.flatnonzero(np.diff(self.parts[by_part], prepend=-1))
        last = np.append(first[1:], len(by_part)) - 1
        for at, end in zip(by_part[first], by_part[last], strict=True):
            start = int(self.offsets[at])
            yield int(self.parts[at]), start, int(self.offsets[end]) + int(self.sizes[end]) - start


def merge_orders(folder: Location, parts: int, classes: int) -> dict[str, MergeOrder]:
    """Return the global order of each split over the parts in a folder: by shuffle key, then class, then rank.

    Sorting takes about 60 bytes of memory per sample.

    Args:
        folder: the folder of the parts.
        parts: their number.
        classes: the number of kept classes.

    Raises:
        DamagedPartError: the table of a part is damaged.
    """
    columns: dict[str, list[list[npt.NDArray[np.generic]]]] = {"train": [], "val": []}
    for number in range(parts):
        table = read_part(folder, number, classes)
        split = np.asarray(table["split"])
        for name, chunks in columns.items():
            chosen = split == name
            keys = [table[column].to_numpy()[chosen] for column in ("shuffle_key", "class_index", "rank", "offset")]
            sizes = table["size"].to_numpy()[chosen].astype(np.int32)
            checksums = table["crc32"].cast(pa.int64()).fill_null(-1).to_numpy()[chosen]
            chunks.append([*keys, sizes, np.full(int(chosen.sum()), number, np.int32), checksums])
    return {name: _order(chunks) for name, chunks in columns.items()}


def _order(chunks: list[list[npt.NDArray[np.generic]]]) -> MergeOrder:
    keys, classes, ranks, offsets, sizes, parts, checksums = (
        np.concatenate(column) for column in zip(*chunks, strict=True)
    )
    order = np.lexsort((ranks, classes, keys))
    return MergeOrder(parts[order], offsets[order], sizes[order], classes[order], checksums[order])
