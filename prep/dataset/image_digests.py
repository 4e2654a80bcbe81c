"""The images of a prepared dataset as hashes, by which two datasets can be compared: 33 bytes per image."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from in21k.prep.errors import PrepError
from in21k.shards_manifest.key_hashes import hash_strings
from in21k.shards_manifest.manifest import SPLITS, Manifest, Shard
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.sidecars import class_names
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import BLOCK

EXAMPLES = 5
"""Number of keys that are shown for a difference."""

_READ_SIZE = 8 << 20

_Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class ImageList:
    """The n images of a dataset, by the hashes of their keys."""

    hashes: _Numbers
    """uint64 [n]: hashes of the keys, ascending."""
    positions: npt.NDArray[np.int64]
    """int64 [n]: each image's number, counted through all shards, train before val."""
    is_val: npt.NDArray[np.bool_]
    """bool [n]: whether each image is in val."""
    classes: _Numbers
    """uint64 [n]: hashes of the classes' wnids, since two datasets may number classes differently."""
    digests: _Numbers
    """uint64 [n]: hashes of the images' bytes, 0 if they were not read."""
    keys_of: Callable[[int], str]
    """Looks up the key of an image by its position."""

    def __len__(self) -> int:
        return len(self.hashes)

    def examples(self, chosen: npt.NDArray[np.int64]) -> tuple[str, ...]:
        """Return the keys of the first few chosen images (indices into the arrays), in byte order."""
        return tuple(sorted(self.keys_of(int(position)) for position in self.positions[chosen[:EXAMPLES]]))


@dataclass(frozen=True, eq=False)
class _ShardRows:
    location: Location
    shard: Shard
    offsets: npt.NDArray[np.int64]
    image_bytes: npt.NDArray[np.int64]


def list_images(
    dataset: Location, manifest: Manifest, known: set[str], threads: int, advance: Callable[[int], object]
) -> ImageList:
    """Return the images of a dataset.

    Args:
        dataset: the dataset's folder or prefix.
        manifest: its manifest.
        known: SHA-256 of shards that need not be read.
        threads: number of shards to read at a time.
        advance: called after each shard that was read with its length in bytes.

    Raises:
        DatasetError: a table or a shard cannot be read.
    """
    table = SampleTable(dataset, manifest)
    wnids = hash_strings([wnid for wnid, _ in class_names(dataset)])
    shards = [(split, number) for split in SPLITS for number in range(len(manifest.splits[split]))]
    hashes, classes, is_val, unread = [], [], [], []
    for split, number in shards:
        hashes.append(hash_strings(table.keys(split, number)))
        index = table.index(split, number)
        classes.append(wnids[index.class_indices])
        is_val.append(np.full(len(index.offsets), split == "val"))
    digests = [np.zeros(len(of_shard), np.uint64) for of_shard in hashes]
    unread = [at for at, (split, number) in enumerate(shards) if manifest.splits[split][number].sha256 not in known]
    with ThreadPoolExecutor(threads) as pool:
        tasks = (_rows(dataset, manifest, table, *shards[at]) for at in unread)
        for at, found in zip(unread, pool.map(_digests, tasks), strict=True):
            digests[at] = found
            split, number = shards[at]
            advance(manifest.splits[split][number].bytes)
    hashed = np.concatenate(hashes)
    order = np.argsort(hashed, kind="stable")
    return ImageList(
        hashes=hashed[order],
        positions=order,
        is_val=np.concatenate(is_val)[order],
        classes=np.concatenate(classes)[order],
        digests=np.concatenate(digests)[order],
        keys_of=_key_lookup(table, shards, [len(part) for part in hashes]),
    )


def _key_lookup(table: SampleTable, shards: list[tuple[str, int]], lengths: list[int]) -> Callable[[int], str]:
    starts = np.cumsum([0, *lengths])

    def key(position: int) -> str:
        at = int(np.searchsorted(starts, position, side="right")) - 1
        return table.keys(*shards[at])[position - int(starts[at])]

    return key


def _rows(dataset: Location, manifest: Manifest, table: SampleTable, split: str, number: int) -> _ShardRows:
    rows = table.rows(split, number)
    if "image_bytes" not in rows.column_names:
        raise PrepError(
            f"{dataset.text}: its sample table has no column image_bytes; write the dataset again with this version"
        )
    shard = manifest.splits[split][number]
    offsets, sizes = (rows[name].to_numpy().astype(np.int64) for name in ("offset", "image_bytes"))
    return _ShardRows(dataset / shard.path, shard, offsets, sizes)


def _digests(task: _ShardRows) -> _Numbers:
    """Return the hashes of the bytes of a shard's images."""
    return np.fromiter(_each_digest(task), np.uint64, len(task.offsets))


def _each_digest(task: _ShardRows) -> Iterator[int]:
    reader = task.location.open_ranges()
    try:
        if reader.size != task.shard.bytes:
            raise PrepError(f"{task.location.text} is {reader.size} bytes long, not the manifest's {task.shard.bytes}")
        start, data = 0, b""
        for offset, size in zip((task.offsets + BLOCK).tolist(), task.image_bytes.tolist(), strict=True):
            if offset + size > start + len(data):
                start, data = offset, reader.read(offset, max(_READ_SIZE, size))
            image = memoryview(data)[offset - start : offset - start + size]
            yield int.from_bytes(blake2b(image, digest_size=8).digest(), "little") or 1
    finally:
        reader.close()
