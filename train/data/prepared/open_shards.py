"""The shards that a reader keeps open: checked against the manifest, read by range, in the background if remote."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from in21k.shards_manifest.manifest import Manifest
from in21k.shards_manifest.sample_table import SampleTable, ShardIndex
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import RangeReader
from in21k.shards_manifest.tar import END
from in21k.train.data.interfaces import ReadOptions
from in21k.train.data.partition import WINDOW
from in21k.train.data.prepared.cache import ShardCache
from in21k.train.data.prepared.read_ahead import CONNECTIONS
from in21k.train.errors import TrainError

OPEN_SHARDS = 2 * WINDOW
"""Shards that stay open: those of one shuffle window and of the next."""


@dataclass(frozen=True, eq=False)
class OpenShard:
    """An open shard."""

    file: RangeReader
    index: ShardIndex
    text: str
    """What messages call it."""
    is_cached: bool


@dataclass(frozen=True, eq=False)
class _Entry:
    shard: "Future[OpenShard]"
    reads: "list[Future[bytes]]" = field(default_factory=list)
    """Those that may still be in progress."""


class OpenShards:
    """The most recently used shards of a split."""

    def __init__(self, location: Location, manifest: Manifest, split: str, options: ReadOptions, limit: int) -> None:
        """Open the split's sample table.

        Args:
            location: of the dataset.
            manifest: of the dataset.
            split: train or val.
            options: the cache, and whether digests are compared.
            limit: how many shards stay open.

        Raises:
            DatasetError: it is missing or does not belong to the manifest.
        """
        self.in_background = not location.is_local
        """Whether threads read the ranges."""
        self._location, self._split, self._options, self._limit = location, split, options, limit
        self._records = manifest.splits[split]
        self._table = SampleTable(location, manifest)
        self._table_lock = threading.Lock()
        self._open: OrderedDict[int, _Entry] = OrderedDict()
        self._threads = ThreadPoolExecutor(CONNECTIONS, "shards") if self.in_background else None
        self._cache = ShardCache(options.cache, manifest) if options.cache and self.in_background else None

    def read(self, number: int, first: int, count: int) -> "tuple[Future[OpenShard], Future[bytes]]":
        """Begin to read `count` samples of a shard from sample `first` on; return the shard and the bytes as futures.

        The futures fail with DatasetError if the shard cannot be read or does not match the manifest.
        """
        entry = self._entry(number)
        content = self._submit(_read_run, entry.shard, first, count)
        entry.reads[:] = [read for read in entry.reads if not read.done()]
        entry.reads.append(content)
        return entry.shard, content

    def close(self) -> None:
        """Close all shards."""
        if self._cache is not None:
            self._cache.close()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        while self._open:  # no waiting for reads: those that no thread began would never finish
            _close_shard(self._open.popitem()[1])

    def _entry(self, number: int) -> _Entry:
        entry = self._open.get(number)
        if entry is not None and self._is_better_reopened(number, entry.shard):
            _close(self._open.pop(number))
            entry = None
        if entry is None:
            if len(self._open) >= self._limit:
                _close(self._open.popitem(last=False)[1])
            entry = self._open[number] = _Entry(self._submit(self._opened, number))
        self._open.move_to_end(number)
        return entry

    def _is_better_reopened(self, number: int, shard: "Future[OpenShard]") -> bool:
        """Return whether the shard is read over the network although it is now in the cache."""
        if self._cache is None or not shard.done() or shard.exception() is not None or shard.result().is_cached:
            return False
        return self._cache.holds(self._records[number])

    def _opened(self, number: int) -> OpenShard:
        record = self._records[number]
        location = self._location.child(record.path)
        with self._table_lock:
            index = self._table.index(self._split, number)
        cached = self._cache.open(record, location, self._options.verify_digest) if self._cache is not None else None
        file = cached or location.open_ranges()
        try:
            if file.size != record.bytes:
                raise TrainError(
                    f"{location.text} is {file.size} bytes long, not {record.bytes} as in the manifest; copy it again"
                )
            if file.read(record.bytes - len(END), len(END)) != END:
                raise TrainError(f"{location.text} lacks tar's end-of-archive marker; copy it again")
            if self._options.verify_digest and self._cache is None and location.sha256() != record.sha256:
                raise TrainError(f"the SHA-256 of {location.text} is not the manifest's; copy it again")
        except BaseException:
            file.close()
            raise
        return OpenShard(file, index, location.text, cached is not None)

    def _submit(self, call: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        if self._threads is not None:
            return self._threads.submit(call, *arguments)
        done: Future[Any] = Future()
        done.set_result(call(*arguments))
        return done


def _close(entry: _Entry) -> None:
    wait(entry.reads)
    _close_shard(entry)


def _close_shard(entry: _Entry) -> None:
    if entry.shard.done() and not entry.shard.cancelled() and entry.shard.exception() is None:
        entry.shard.result().file.close()


def _read_run(shard: "Future[OpenShard]", first: int, count: int) -> bytes:
    opened = shard.result()
    start = int(opened.index.offsets[first])
    last = first + count - 1
    end = int(opened.index.offsets[last] + opened.index.sizes[last])
    content = opened.file.read(start, end - start)
    if len(content) != end - start:
        raise TrainError(
            f"{opened.text} ends {end - start - len(content)} bytes before the end of a sample; copy it again"
        )
    return content
