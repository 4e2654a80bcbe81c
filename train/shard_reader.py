"""Samples out of shards by number: one range read for each run of consecutive samples, local or in an object store."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from in21k.shards_manifest.files import Location
from in21k.shards_manifest.manifest import Manifest
from in21k.shards_manifest.ranges import RangeReader
from in21k.shards_manifest.samples import IMAGE_SUFFIX, LABEL_SUFFIX, SampleTable, ShardIndex
from in21k.shards_manifest.tar import END, TarError, read_members
from in21k.train.errors import TrainError
from in21k.train.partition import PADDING, WINDOW

OPEN_SHARDS = 2 * WINDOW
"""Shards that stay open: those of a window and the ones of the next."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample, its image not yet decoded."""

    key: str
    image: memoryview
    """The image file's bytes."""
    class_index: int


@dataclass(frozen=True, eq=False)
class _OpenShard:
    file: RangeReader
    index: ShardIndex
    text: str


class ShardReader:
    """The samples of a split, numbered through all its shards; the shards last used stay open."""

    def __init__(self, location: Location, manifest: Manifest, split: str, open_shards: int = OPEN_SHARDS) -> None:
        """Open the split's sample table.

        Raises:
            DatasetError: it is missing or does not belong to the manifest.
        """
        self._location = location
        self._split = split
        self._records = manifest.splits[split]
        self._classes = manifest.classes
        self._ends = np.cumsum([shard.samples for shard in self._records], dtype=np.int64)
        self._table = SampleTable(location, manifest)
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()
        self._limit = open_shards

    def read(self, numbers: npt.NDArray[np.int64]) -> list[Sample | None]:
        """Return the samples of these numbers, in order; None for PADDING (-1).

        Raises:
            DatasetError: a shard cannot be read.
            TrainError: a shard is not what the manifest and the sample table say.
        """
        samples: list[Sample | None] = []
        for shard, first, count in self._runs(numbers):
            if shard == PADDING:
                samples.extend([None] * count)
            else:
                samples.extend(self._read_run(self._shard(shard), first, count))
        return samples

    def close(self) -> None:
        """Close all shards."""
        while self._open:
            self._open.popitem()[1].file.close()

    def _runs(self, numbers: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
        """Yield (shard, first sample in it, count) for each run of consecutive samples of one shard."""
        shards = np.where(numbers == PADDING, PADDING, np.searchsorted(self._ends, numbers, side="right"))
        cuts = np.flatnonzero((np.diff(numbers) != 1) | (np.diff(shards) != 0)) + 1
        for run in np.split(np.arange(len(numbers)), cuts):
            if len(run):
                shard, number = int(shards[run[0]]), int(numbers[run[0]])
                start = int(self._ends[shard]) - self._records[shard].samples
                yield shard, number - start, len(run)

    def _shard(self, number: int) -> _OpenShard:
        if (shard := self._open.get(number)) is not None:
            self._open.move_to_end(number)
            return shard
        record = self._records[number]
        location = self._location.child(record.path)
        index = self._table.index(self._split, number)
        file = location.open_ranges()
        if file.size != record.bytes:
            file.close()
            raise TrainError(
                f"{location.text} is {file.size} bytes long, not the manifest's {record.bytes}; copy it anew"
            )
        if len(self._open) >= self._limit:
            self._open.popitem(last=False)[1].file.close()
        self._open[number] = shard = _OpenShard(file, index, location.text)
        return shard

    def _read_run(self, shard: _OpenShard, first: int, count: int) -> Iterator[Sample]:
        offsets = shard.index.offsets[first : first + count].tolist()
        sizes = shard.index.sizes[first : first + count].tolist()
        labels = shard.index.class_indices[first : first + count].tolist()
        start, end = offsets[0], offsets[-1] + sizes[-1]
        content = shard.file.read(start, end - start)
        if len(content) != end - start:
            raise TrainError(
                f"{shard.text} ends {end - start - len(content)} bytes before the end of a sample; copy it anew"
            )
        for offset, size, label in zip(offsets, sizes, labels, strict=True):
            try:
                yield self._sample(memoryview(content)[offset - start : offset - start + size], label)
            except (TarError, ValueError) as error:
                raise TrainError(f"{shard.text}: the sample at byte {offset} is damaged ({error})") from error

    def _sample(self, content: memoryview, label: int) -> Sample:
        """Return the sample that a stretch of tar holds: an image, then its label, both under one key.

        Raises:
            TarError: there is something else.
            ValueError: the label is none, or not the table's.
        """
        size = len(content)

        def read(offset: int, count: int) -> bytes:
            return bytes(content[offset : offset + count]) if offset < size else END[:count]

        members = list(read_members(read, 0, size + len(END)))
        names = [member.name for member in members]
        key = names[0].removesuffix(IMAGE_SUFFIX) if names else ""
        if names != [key + IMAGE_SUFFIX, key + LABEL_SUFFIX]:
            raise TarError(f"its members are {', '.join(names) or 'missing'}, not an image and its label")
        image, number = (content[member.offset : member.offset + member.size] for member in members)
        if (stored := int(bytes(number))) != label or not 0 <= label < self._classes:
            raise ValueError(f"{key} has the label {stored}, the sample table says {label} of {self._classes} classes")
        return Sample(key, image, label)
