"""A small raw dump that is drawn, not downloaded: real wnids, made-up pictures whose looks follow the hierarchy.

Each ancestor of a class adds one trait to its pictures: the root the background, the next the body's shape, then its
pattern, an ornament and a frame. What looks alike is therefore near in the tree, and semantic softmax has something
to learn from. The same seed gives the same bytes under the same versions of Pillow and NumPy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from in21k.prep.demo.pictures import PARENTS, encode, paint, traits
from in21k.prep.errors import PrepError
from in21k.shards_manifest.storage.local_files import atomic_path, make_folder
from in21k.shards_manifest.tar import END, member_bytes

SMALL_CLASSES: Mapping[str, str] = {
    "n02274259": "n00015388",  # butterfly
    "n04490091": "n00021939",  # truck
    "n09359803": "n00017222",  # mountain
}
"""Classes with too few pictures to be kept, and the class whose looks theirs follow."""

ODD: Mapping[tuple[str, int], str] = {
    ("n02092468", 0): "grayscale",
    ("n03028079", 2): "cmyk",
    ("n07873807", 3): "png",
    ("n12268246", 1): "rotated",
    ("n02512053", 4): "tiny",
}
"""Pictures, by wnid and number, that are unusual and yet fine, and how."""

BROKEN: Mapping[tuple[str, int], str] = {
    ("n02084071", 1): "truncated",
    ("n01858441", 1): "empty",
    ("n04524313", 7): "html",
}
"""Files, by wnid and number, that hold no whole picture, and why not."""

MIN_IMAGES_PER_CLASS = 16
"""With fewer, the smallest class would be empty."""


@dataclass(frozen=True)
class DemoDump:
    """What `draw_dump` wrote."""

    path: Path
    """The tar of class tars."""
    classes: int
    """Classes with `images_per_class` files."""
    small_classes: int
    """Further classes with less than half as many."""
    images: int
    """Files in all class tars, odd and broken ones included."""
    odd: int
    """Files that are unusual and yet fine: grayscale, CMYK, PNG by another name, EXIF-rotated, tiny."""
    broken: int
    """Files that hold no whole picture: cut short, empty, an HTML page."""
    size: int
    """The tar's size in bytes."""

    def summary(self) -> dict[str, Any]:
        """Return the facts that a command prints, by name."""
        return {**asdict(self), "path": str(self.path)}


def draw_dump(
    path: Path, *, seed: int = 0, images_per_class: int = 40, size_range: tuple[int, int] = (80, 160)
) -> DemoDump:
    """Write a raw dump in ImageNet-21K's layout, a tar of class tars of JPEGs, and return what it holds.

    Args:
        path: the tar to write; its folder is created.
        seed: another seed draws other pictures of the same classes.
        images_per_class: files of each class but the small ones, 16 or more.
        size_range: bounds of a picture's width and of its height, in pixels.

    Raises:
        PrepError: `images_per_class` or `size_range` is out of range.
        DatasetError: the file system is full or refuses the write.
    """
    low, high = size_range
    if images_per_class < MIN_IMAGES_PER_CLASS or not 16 <= low <= high:
        raise PrepError(
            f"images_per_class must be {MIN_IMAGES_PER_CLASS} or more (it is {images_per_class}), "
            f"size_range 16 or more and ascending (it is {low} to {high})"
        )
    counts = dict.fromkeys(PARENTS, images_per_class) | {
        wnid: images_per_class // 2**halvings - 1 for halvings, wnid in enumerate(SMALL_CLASSES, 1)
    }
    make_folder(path.parent)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for wnid in sorted(counts):
            members = _class_members(wnid, counts[wnid], seed, size_range)
            content = b"".join(member_bytes(name, picture) for name, picture in members) + END
            file.write(member_bytes(f"{wnid}.tar", content))
        file.write(END)
        size = file.tell()
    return DemoDump(path, len(PARENTS), len(SMALL_CLASSES), sum(counts.values()), len(ODD), len(BROKEN), size)


def _class_members(wnid: str, images: int, seed: int, size_range: tuple[int, int]) -> Iterator[tuple[str, bytes]]:
    path = traits()[SMALL_CLASSES.get(wnid, wnid)]
    low, high = size_range
    for number in range(images):
        rng = np.random.default_rng([seed, int(wnid[1:]), number])
        width, height = (int(side) for side in rng.integers(low, high, size=2, endpoint=True))
        picture = Image.fromarray(paint(path, rng, width, height))
        kind = ODD.get((wnid, number)) or BROKEN.get((wnid, number), "")
        yield f"{wnid}_{number}.JPEG", encode(picture, kind, quality=int(rng.integers(80, 95)))
