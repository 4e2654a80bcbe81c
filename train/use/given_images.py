"""Images that a program holds: paths, the bytes of image files, PIL images and arrays, read like files."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.decode import Pixels
from in21k.shards_manifest.images.pillow import pixels_of, to_rgb, upright
from in21k.train.arrays import IntArray
from in21k.train.data.interfaces import Sample
from in21k.train.errors import TrainError
from in21k.train.images.decode import LIMITS
from in21k.train.use.image_files import OneByOne

AnyImage: TypeAlias = str | PathLike[str] | bytes | PIL.Image.Image | Pixels
"""The path of an image file, its bytes, a PIL image, or uint8 [H, W, 3]."""


@dataclass(frozen=True, eq=False)
class GivenImages(Sequence[Path]):
    """N images in order; opens readers of them."""

    images: Sequence[AnyImage]
    names: Sequence[str] = ()
    """What to call each one; by default its path or its number."""
    is_video: bool = False
    """Never: it says so to what takes image files in its place."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: Any) -> Any:
        """Return what an image is called, as a path; of a slice, of each."""
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        image = self.images[number]
        if self.names:
            return Path(self.names[number])
        return Path(fspath(image)) if isinstance(image, str | PathLike) else Path(f"image {number}")

    def __call__(self) -> "GivenReader":
        """Return a new reader."""
        return GivenReader(self)

    def paths(self, numbers: IntArray) -> list[str | None]:
        """Return the path of each of these images, None for those that have none."""
        chosen = (self.images[number] for number in numbers.tolist())
        return [fspath(image) if isinstance(image, str | PathLike) else None for image in chosen]


class GivenReader(OneByOne):
    """Reads the images."""

    def __init__(self, given: GivenImages) -> None:
        self._given = given

    def _sample(self, number: int) -> Sample:
        image, name = self._given.images[number], str(self._given[number])
        try:
            return Sample(name, _content(image), 0)
        except OSError as error:
            return Sample(name, memoryview(b""), 0, error.strerror or one_line(error))


def check_image(image: object) -> None:
    """Refuse what is no image.

    Raises:
        TrainError: it is neither a path nor bytes, nor a PIL image or an array of pixels.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise TrainError(f"an array of {image.dtype} {list(image.shape)} is no image; give uint8 [H, W, 3], RGB")
    elif not isinstance(image, str | PathLike | bytes | PIL.Image.Image):
        raise TrainError(f"{type(image).__name__} is no image; give a path, bytes, a PIL image, or uint8 [H, W, 3]")


def _content(image: AnyImage) -> memoryview | Pixels:
    """Return an image file's bytes, or pixels."""
    if isinstance(image, PIL.Image.Image):
        return pixels_of(to_rgb(upright(image, LIMITS)))
    if isinstance(image, np.ndarray):
        return np.ascontiguousarray(image)
    return memoryview(image if isinstance(image, bytes) else Path(fspath(image)).read_bytes())
