"""Comparison of two prepared datasets: which images, splits, classes and bytes differ."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from in21k.prep.dataset.image_digests import ImageList, list_images
from in21k.prep.executor import Workers
from in21k.shards_manifest.command.progress import BYTES, Progress
from in21k.shards_manifest.manifest import SPLITS, Manifest, read_manifest
from in21k.shards_manifest.storage.location import Location


@dataclass(frozen=True)
class Difference:
    """A way in which images of two datasets differ."""

    what: str
    count: int
    """Number of images that differ in this way."""
    examples: tuple[str, ...]
    """Some of their keys, in byte order."""


@dataclass(frozen=True)
class Comparison:
    """How two datasets compare."""

    images: tuple[int, int]
    """Number of images in the first and in the second dataset."""
    common: int
    """Number of keys that are in both."""
    differences: tuple[Difference, ...]
    """Empty if both hold the same images with the same bytes in the same splits and classes."""
    notes: tuple[str, ...]
    """Other differences between the manifests, which need not change an image: parameters, versions, shards."""


def compare_datasets(first: Location, second: Location, workers: Workers) -> Comparison:
    """Return how two prepared datasets compare; shards that both have are not read, all others completely.

    Args:
        first: one dataset.
        second: the other.
        workers: who reads; their count is the number of threads.

    Raises:
        DatasetError: one of them is not a finished dataset, or is damaged.
    """
    manifests = read_manifest(first), read_manifest(second)
    shards = [[shard for split in SPLITS for shard in manifest.splits[split]] for manifest in manifests]
    shared = {shard.sha256 for shard in shards[0]} & {shard.sha256 for shard in shards[1]}
    unread = sum(shard.bytes for side in shards for shard in side if shard.sha256 not in shared)
    with Progress("compare", BYTES, unread) as bar:
        one, other = (
            list_images(location, manifest, shared, workers.count, bar.update)
            for location, manifest in zip((first, second), manifests, strict=True)
        )
    common, differences = _differences(one, other)
    return Comparison((len(one), len(other)), common, tuple(differences), tuple(_notes(*manifests)))


def _differences(one: ImageList, other: ImageList) -> tuple[int, list[Difference]]:
    """Return the number of common images, and the differences."""
    _, at, at_other = np.intersect1d(one.hashes, other.hashes, return_indices=True)
    read = (one.digests[at] != 0) & (other.digests[at_other] != 0)
    chosen = (
        ("images only in the first", one, np.setdiff1d(np.arange(len(one)), at)),
        ("images only in the second", other, np.setdiff1d(np.arange(len(other)), at_other)),
        ("images in another split", one, at[one.is_val[at] != other.is_val[at_other]]),
        ("images of another class", one, at[one.classes[at] != other.classes[at_other]]),
        ("images with other bytes", one, at[read & (one.digests[at] != other.digests[at_other])]),
    )
    return len(at), [
        Difference(what, len(indices), images.examples(indices)) for what, images, indices in chosen if len(indices)
    ]


def _notes(one: Manifest, other: Manifest) -> Iterator[str]:
    """Yield the differences between two manifests, one line per value."""
    if one.class_list_sha256 != other.class_list_sha256:
        yield f"class lists: {one.classes} and {other.classes} classes, not the same"
    groups = {"source": (one.source, other.source), "versions": (one.versions, other.versions)}
    for stage in dict.fromkeys([*one.parameters, *other.parameters]):
        groups[stage] = one.parameters.get(stage, {}), other.parameters.get(stage, {})
    for group, (mine, theirs) in groups.items():
        for name in dict.fromkeys([*mine, *theirs]):
            if mine.get(name) != theirs.get(name):
                yield f"{group}, {name}: {mine.get(name)} and {theirs.get(name)}"
    paths = [{shard.path: shard.sha256 for split in SPLITS for shard in side.splits[split]} for side in (one, other)]
    different = sum(paths[0].get(path) != paths[1].get(path) for path in paths[0] | paths[1])
    if different:
        yield f"shards: {different} of {len(paths[0] | paths[1])} differ"
