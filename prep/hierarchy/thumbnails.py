"""A few small samples of each class, out of a dataset's shards: for the report."""

import io
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.images.decode import read_pixels
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.images.limits import Limits, prepared_limits
from in21k.shards_manifest.manifest import Manifest
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import BLOCK, content_size
from in21k.tree.explorer_data import Picture

MOST_SHARDS = 64
"""Shards that are read at most; those of val come first, since each of them has samples of every class."""

QUALITY = 72

_SMALLEST, _LARGEST = 48, 224
_PLANS = (
    (12, _LARGEST),
    (8, _LARGEST),
    (8, 160),
    (8, 112),
    (8, 80),
    (6, 80),
    (4, 80),
    (3, 64),
    (2, 64),
    (2, _SMALLEST),
)
"""Thumbnails per class and their side, the best plan first."""


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
    per_class, side = _plan(manifest.classes, budget, manifest.images.size or _LARGEST)
    found: dict[int, list[Picture]] = defaultdict(list)
    left = budget
    for places in choose_samples(dataset, manifest, per_class):
        places.sort(key=lambda place: (-importance[place.class_index], place.class_index))
        for place, image in read_samples(dataset, manifest, places[: left // _typical(side) + 1]):
            picture = small_picture(manifest, place, image, side)
            if len(picture.image) <= left:
                found[place.class_index].append(picture)
                left -= len(picture.image)
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
        image=_jpeg(image, side), key=place.key, split=place.split, shard=shard, guess=guess, probability=probability
    )


def plan_for(budget: int, stored: int | None, classes: int) -> tuple[int, int]:
    """Return how many pictures of some classes use about a budget of bytes, and their side; smaller ones for many.

    Args:
        budget: bytes.
        stored: the side of the dataset's images; None if they differ.
        classes: that have pictures.
    """
    _, side = _plan(classes, budget, stored or _LARGEST)
    return budget // _typical(side) + 1, side


def _plan(classes: int, budget: int, stored: int) -> tuple[int, int]:
    """Return the thumbnails per class and their side that use about the budget.

    Args:
        classes: C.
        budget: bytes.
        stored: the side of the dataset's images; larger ones than these show nothing more.
    """
    for per_class, side in _PLANS:
        side = max(_SMALLEST, min(side, stored))
        if classes * per_class * _typical(side) <= budget:
            return per_class, side
    return 1, _SMALLEST


def _typical(side: int) -> int:
    """Return roughly how many bytes a thumbnail takes."""
    return 450 + side * side // 4


def _decode(sample: bytes, limits: Limits) -> Image.Image | None:
    try:
        return Image.fromarray(read_pixels(sample[BLOCK : BLOCK + content_size(sample)], limits))
    except ImageError:
        return None


def _square(image: Image.Image, side: int) -> Image.Image:
    """Return the middle square of an image, resized."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.resize((side, side), Image.Resampling.BICUBIC, (left, top, left + edge, top + edge))


def _jpeg(image: Image.Image, side: int) -> bytes:
    encoded = io.BytesIO()
    _square(image, side).save(encoded, "JPEG", quality=QUALITY, optimize=True)
    return encoded.getvalue()
