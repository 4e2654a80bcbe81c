"""Dumps that are WebDataset shards, as timm publishes ImageNet-21K: tars in which images of all classes lie mixed."""

from collections.abc import Iterator
from itertools import islice

from in21k.prep.errors import PrepError
from in21k.prep.raw.dump import RawBatch
from in21k.prep.raw.dump_files import DumpFile, FilesDump
from in21k.prep.raw.samples import Labeled, Labels, samples
from in21k.prep.records import Reject
from in21k.shards_manifest.storage.ranges import RangeReader
from in21k.shards_manifest.tar import TarError, read_joined_members

LAYOUT = "webdataset-shards"

_WINDOW = 4 << 10
"""Bytes read at a time: the label, its neighbors, and the header of the next image."""
_FAR_WINDOW = 8 << 20
"""The same in an object store, where a request costs more than bytes."""
_SAMPLES_AT_ONCE = 1 << 13


class ShardsDump(FilesDump):
    """WebDataset shards in a folder, or a single one."""

    layout = LAYOUT

    def _of_file(self, file: DumpFile, before: int) -> Iterator[RawBatch]:
        location = file.within(self._location)
        reader = location.open_ranges()
        try:
            yield from self._of_shard(file, Window(reader, _WINDOW if location.is_local else _FAR_WINDOW), before)
        except TarError as error:
            raise PrepError(
                f"{location.text} is cut short or damaged after {reader.size} bytes ({error}); download it again"
            ) from error
        finally:
            reader.close()

    def _of_shard(self, file: DumpFile, window: "Window", before: int) -> Iterator[RawBatch]:
        rejects: list[Reject] = []
        labels = Labels(self._location.text, self._class_list)
        found = samples(read_joined_members(window.read, 0, window.size), rejects)
        while batch := list(islice(found, _SAMPLES_AT_ONCE)):
            labeled = Labeled(rejects=rejects)
            for sample in batch:
                labels.add(sample, file.archive, file.split, window.read, labeled)
            yield RawBatch(labeled.wnids, labeled.images, list(rejects), before + window.position)
            rejects.clear()
        if rejects:
            yield RawBatch([], [], rejects, before + file.size)


class Window:
    """A file read mostly forwards, a few bytes at a time, of which a window stays in memory."""

    def __init__(self, reader: RangeReader, length: int) -> None:
        self._reader = reader
        self._length = length
        self._held = b""
        self.position = 0
        """Where the window begins."""
        self.size = reader.size

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        start = offset - self.position
        if start < 0 or start + size > len(self._held):
            self._held = self._reader.read(offset, max(size, self._length))
            self.position, start = offset, 0
        return self._held[start : start + size]
