"""Reads samples from shards by number: one range read per run of consecutive samples, locally or in an object store."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from in21k.shards_manifest.manifest import Manifest
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import TarError
from in21k.train.arrays import IntArray
from in21k.train.data.interfaces import READ_DIRECTLY, ReadOptions, Sample
from in21k.train.data.partition import PADDING
from in21k.train.data.prepared.open_shards import OPEN_SHARDS, OpenShard, OpenShards
from in21k.train.data.prepared.parse import ForeignSampleError, parse_sample
from in21k.train.data.prepared.read_ahead import ReadAhead
from in21k.train.errors import TrainError

_REMEDY = "look with `in21k-prep verify`, and restore the shard with `in21k-prep repair` or copy it again"


@dataclass(frozen=True, eq=False)
class Request:
    """A run of consecutive samples of one shard, with their bytes being read; without a shard, padding."""

    count: int
    shard: "Future[OpenShard] | None" = None
    first: int = 0
    """The run's first sample in the shard."""
    content: "Future[bytes] | None" = None
    size: int = 0
    """Of the bytes, by the mean of the shard's samples."""


class ShardReader:
    """Reads the samples of a split, numbered through all its shards; recently used shards stay open."""

    def __init__(
        self,
        location: Location,
        manifest: Manifest,
        split: str,
        options: ReadOptions = READ_DIRECTLY,
        open_shards: int = OPEN_SHARDS,
    ) -> None:
        """Open the split's sample table.

        Raises:
            DatasetError: it is missing or does not belong to the manifest.
        """
        self._records = manifest.splits[split]
        self._classes = manifest.classes
        self._ends = np.cumsum([shard.samples for shard in self._records], dtype=np.int64)
        self._suffix = manifest.images.suffix
        self._shards = OpenShards(location, manifest, split=split, options=options, limit=open_shards)
        self._ahead = ReadAhead()

    @property
    def reads_ahead(self) -> bool:
        """Whether another request is worth making before the oldest one is collected; never of local files."""
        return self._shards.in_background and self._ahead.wants_more()

    def read(self, numbers: IntArray) -> list[Sample | None]:
        """Return the samples with these numbers, in order; None for PADDING (-1).

        Raises:
            DatasetError: a shard cannot be read.
            TrainError: a shard is damaged, or does not match the manifest or the sample table.
        """
        return self.collect(self.request(numbers))

    def request(self, numbers: IntArray) -> list[Request]:
        """Begin to read the samples with these numbers, and return what `collect` takes."""
        requests = [self._request(*run) for run in self._runs(numbers)]
        reads = [request.content for request in requests if request.content is not None]
        self._ahead.requested(reads, sum(request.size for request in requests))
        return requests

    def collect(self, requests: Iterable[Request]) -> list[Sample | None]:
        """Return the samples of the oldest request, in order; raises what `read` does."""
        self._ahead.collected()
        samples: list[Sample | None] = []
        for request in requests:
            if request.shard is None or request.content is None:
                samples.extend([None] * request.count)
            else:
                samples.extend(self._samples(request, request.shard.result(), request.content.result()))
        return samples

    def close(self) -> None:
        """Close all shards."""
        self._shards.close()

    def _request(self, shard: int, first: int, count: int) -> Request:
        if shard == PADDING:
            return Request(count)
        opened, content = self._shards.read(shard, first, count)
        record = self._records[shard]
        return Request(count, opened, first, content, size=count * record.bytes // record.samples)

    def _runs(self, numbers: IntArray) -> Iterator[tuple[int, int, int]]:
        """Yield (shard, first sample in it, count) for each run of consecutive samples of one shard."""
        shards = np.where(numbers == PADDING, PADDING, np.searchsorted(self._ends, numbers, side="right"))
        cuts = np.flatnonzero((np.diff(numbers) != 1) | (np.diff(shards) != 0)) + 1
        for run in np.split(np.arange(len(numbers)), cuts):
            if len(run):
                shard, number = int(shards[run[0]]), int(numbers[run[0]])
                start = int(self._ends[shard]) - self._records[shard].samples
                yield shard, number - start, len(run)

    def _samples(self, request: Request, shard: OpenShard, content: bytes) -> Iterator[Sample]:
        run = slice(request.first, request.first + request.count)
        offsets, sizes = shard.index.offsets[run].tolist(), shard.index.sizes[run].tolist()
        labels: Sequence[int] = shard.index.class_indices[run].tolist()
        view, start = memoryview(content), offsets[0]
        for offset, size, label in zip(offsets, sizes, labels, strict=True):
            try:
                parsed = parse_sample(view[offset - start : offset - start + size], self._suffix)
                if parsed.class_index != label or not 0 <= label < self._classes:
                    raise ForeignSampleError(
                        f"{parsed.key} has the label {parsed.class_index}, but the sample table says {label} of "
                        f"{self._classes} classes"
                    )
            except ForeignSampleError as error:
                raise TrainError(
                    f"{shard.text}: the sample at byte {offset} is not the one in the sample table ({error}); {_REMEDY}"
                ) from error
            except (TarError, ValueError) as error:
                raise TrainError(
                    f"{shard.text}: the sample at byte {offset} is damaged ({error}); {_REMEDY}"
                ) from error
            yield Sample(parsed.key, parsed.image, label)


@dataclass(frozen=True)
class ShardReaders:
    """Opens readers of a split's shards."""

    location: Location
    """Of the dataset."""
    manifest: Manifest
    split: str
    options: ReadOptions = READ_DIRECTLY

    def __call__(self) -> ShardReader:
        """Return a new reader.

        Raises:
            DatasetError: the split's sample table is missing or does not belong to the manifest.
        """
        return ShardReader(self.location, self.manifest, self.split, self.options)

    def paths(self, numbers: IntArray) -> list[str | None]:
        """Return the shard of each of these samples, relative to the dataset."""
        records = self.manifest.splits[self.split]
        ends = np.cumsum([shard.samples for shard in records], dtype=np.int64)
        return [records[shard].path for shard in np.searchsorted(ends, numbers, side="right").tolist()]
