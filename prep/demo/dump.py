"""A small raw dump that is drawn, not downloaded: real wnids, and pictures whose looks follow the hierarchy.

Each ancestor of a class adds one trait to its pictures: the root the background, the next one the shape of the body,
then a pattern, an ornament and a frame. Classes that look alike are therefore close in the hierarchy, from which
semantic softmax can learn. The same seed gives the same bytes with the same versions of Pillow and NumPy.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from in21k.prep.demo.pictures import PARENTS, encode, paint, traits
from in21k.prep.errors import PrepError
from in21k.shards_manifest.storage.local_files import atomic_path, make_folder
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.tar import END, TarError, member_bytes, read_members

SMALL_CLASSES: Mapping[str, str] = {
    "n02274259": "n00015388",  # butterfly
    "n04490091": "n00021939",  # truck
    "n09359803": "n00017222",  # mountain
}
"""Classes with too few pictures to be kept, and for each the class that its pictures look like."""

ODD: Mapping[tuple[str, int], str] = {
    ("n02092468", 0): "grayscale",
    ("n03028079", 2): "cmyk",
    ("n07873807", 3): "png",
    ("n12268246", 1): "rotated",
    ("n02512053", 4): "tiny",
}
"""Pictures that are unusual but valid: how, by wnid and number."""

BROKEN: Mapping[tuple[str, int], str] = {
    ("n02084071", 1): "truncated",
    ("n01858441", 1): "empty",
    ("n04524313", 7): "html",
}
"""Files without a complete picture: why, by wnid and number."""

MIN_IMAGES_PER_CLASS = 16
"""With fewer images, the smallest class would be empty."""


@dataclass(frozen=True)
class DemoDump:
    """What `draw_dump` wrote."""

    path: Path
    """The tar of class tars."""
    classes: int
    """Number of classes with `images_per_class` files."""
    small_classes: int
    """Number of further classes, with less than half as many files."""
    images: int
    """Number of files in all class tars, including odd and broken ones."""
    odd: int
    """Number of unusual but valid files: grayscale, CMYK, PNG under another name, EXIF-rotated, tiny."""
    broken: int
    """Number of files without a complete picture: truncated, empty, an HTML page."""
    size: int
    """The tar's size in bytes."""

    def summary(self) -> dict[str, Any]:
        """Return what the command prints, by name."""
        facts = asdict(self) | {"path": str(self.path), "bytes": self.size}
        del facts["size"]
        return facts


def draw_dump(
    path: Path, *, seed: int = 0, images_per_class: int = 40, size_range: tuple[int, int] = (80, 160)
) -> DemoDump:
    """Write a raw dump in the layout of ImageNet-21K, a tar of class tars of JPEGs, and return what it holds.

    Args:
        path: the tar to write; its folder is created.
        seed: another seed draws other pictures of the same classes.
        images_per_class: number of files of each class except the small ones, 16 or more.
        size_range: smallest and largest width and height of a picture, in pixels.

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
    _require_place(path, counts)
    make_folder(path.parent)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for wnid in sorted(counts):
            members = _class_members(wnid, counts[wnid], seed, size_range)
            content = b"".join(member_bytes(name, picture) for name, picture in members) + END
            file.write(member_bytes(f"{wnid}.tar", content))
        file.write(END)
        size = file.tell()
    return DemoDump(
        path=path,
        classes=len(PARENTS),
        small_classes=len(SMALL_CLASSES),
        images=sum(counts.values()),
        odd=len(ODD),
        broken=len(BROKEN),
        size=size,
    )


def _require_place(path: Path, classes: Collection[str]) -> None:
    """Refuse to replace a file that is not a tar of the demo's classes and of nothing else."""
    location = locate(path)
    if not location.exists():
        return
    with closing(location.open_ranges()) as ranges:
        try:
            found = [member.name for member in islice(read_members(ranges.read, 0, ranges.size), len(classes) + 1)]
        except TarError:
            found = []
    if found != [f"{wnid}.tar" for wnid in sorted(classes)]:
        raise PrepError(f"{path} exists and is not a dump that demo drew; give another file")


def _class_members(wnid: str, images: int, seed: int, size_range: tuple[int, int]) -> Iterator[tuple[str, bytes]]:
    path = traits()[SMALL_CLASSES.get(wnid, wnid)]
    low, high = size_range
    for number in range(images):
        rng = np.random.default_rng([seed, int(wnid[1:]), number])
        width, height = (int(side) for side in rng.integers(low, high, size=2, endpoint=True))
        picture = Image.fromarray(paint(path, rng, width, height))
        kind = ODD.get((wnid, number)) or BROKEN.get((wnid, number), "")
        yield f"{wnid}_{number}.JPEG", encode(picture, kind, quality=int(rng.integers(80, 95)))
