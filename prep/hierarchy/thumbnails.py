"""A few small samples of each class, out of a dataset's shards: for the report."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.images.decode import read_pixels
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.images.limits import Limits, prepared_limits
from in21k.shards_manifest.images.thumbnail import LARGEST, square_jpeg, thumbnail_plan, typical_bytes
from in21k.shards_manifest.manifest import Manifest
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import BLOCK, content_size
from in21k.tree.explorer_data import Picture

MOST_SHARDS = 64
"""Shards that are read at most; those of val come first, since each of them has samples of every class."""


@dataclass(frozen=True, slots=True)
class SamplePlace:
    """Where a sample is in a dataset."""

    class_index: int
    split: str
    shard: int
    offset: int
    size: int
    key: str


def choose_samples(dataset: Location, manifest: Manifest, per_class: int) -> list[list[SamplePlace]]:
    """Return up to `per_class` rounds of samples, each with one more sample of every class that has it.

    Raises:
        DatasetError: the sample table is missing or damaged, or has a label that is not a class index.
    """
    table = SampleTable(dataset, manifest)
    shards = [(split, shard) for split in ("val", "train") for shard in range(len(manifest.splits[split]))]
    rounds: list[list[SamplePlace]] = [[] for _ in range(per_class)]
    seen = np.zeros(manifest.classes, np.int64)
    for split, shard in shards[:MOST_SHARDS]:
        index = table.labeled_index(split, shard)
        keys = table.key_column(split, shard)
        columns = (index.class_indices, index.offsets, index.sizes)
        for at, (class_index, offset, size) in enumerate(zip(*(each.tolist() for each in columns), strict=True)):
            if seen[class_index] < per_class:
                place = SamplePlace(
                    class_index=class_index, split=split, shard=shard, offset=offset, size=size, key=keys[at].as_py()
                )
                rounds[seen[class_index]].append(place)
                seen[class_index] += 1
        if (seen >= per_class).all():
            break
    return rounds


def read_samples(
    dataset: Location, manifest: Manifest, places: list[SamplePlace]
) -> Iterator[tuple[SamplePlace, Image.Image]]:
    """Yield place and image of samples, shard by shard; one that does not decode is left out.

    Raises:
        DatasetError: a shard is missing or cut short.
    """
    by_shard: dict[tuple[str, int], list[SamplePlace]] = defaultdict(list)
    for place in places:
        by_shard[place.split, place.shard].append(place)
    limits = prepared_limits(manifest.images.size, is_square=manifest.images.is_square)
    for (split, shard), wanted in sorted(by_shard.items()):
        location = dataset.child(manifest.splits[split][shard].path)
        reader = location.open_ranges()
        try:
            for place in sorted(wanted, key=lambda place: place.offset):
                sample = reader.read(place.offset, place.size)
                if len(sample) < place.size:
                    raise DatasetError(f"{location.text} ends before its sample at {place.offset}")
                if (image := _decode(sample, limits)) is not None:
                    yield place, image
        finally:
            reader.close()


def thumbnails(
    dataset: Location, manifest: Manifest, importance: npt.NDArray[np.int64], budget: int
) -> tuple[dict[int, list[Picture]], int]:
    """Return small samples by class index, within a number of bytes, and the side of their squares.

    Args:
        dataset: its location.
        manifest: its manifest.
        importance: int64 [C]; where the budget is too small for all classes, those with more come first.
        budget: bytes of all JPEGs together.
    """
    per_class, side = thumbnail_plan(manifest.classes, budget, manifest.images.size or LARGEST)
    found: dict[int, list[Picture]] = defaultdict(list)
    left, rounds = budget, choose_samples(dataset, manifest, per_class)
    with Progress("pictures", "picture", sum(map(len, rounds))) as bar:
        for places in rounds:
            places.sort(key=lambda place: (-importance[place.class_index], place.class_index))
            for place, image in read_samples(dataset, manifest, places[: left // typical_bytes(side) + 1]):
                picture = small_picture(manifest, place, image, side)
                if len(picture.image) <= left:
                    found[place.class_index].append(picture)
                    left -= len(picture.image)
                bar.update()
    return dict(found), side


def small_picture(
    manifest: Manifest,
    place: SamplePlace,
    image: Image.Image,
    side: int,
    *,
    guess: int = -1,
    probability: float | None = None,
) -> Picture:
    """Return the middle square of a sample, side × side pixels, as the explorer shows it, and what a model guesses."""
    shard = manifest.splits[place.split][place.shard].path
    return Picture(
        image=square_jpeg(image, side),
        key=place.key,
        split=place.split,
        shard=shard,
        guess=guess,
        probability=probability,
    )


def _decode(sample: bytes, limits: Limits) -> Image.Image | None:
    try:
        return Image.fromarray(read_pixels(sample[BLOCK : BLOCK + content_size(sample)], limits))
    except ImageError:
        return None
