"""Fingerprints of images that have none yet: those of other sets, and of datasets that an older version wrote."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from in21k.prep.executor import Workers, run_tasks
from in21k.prep.images.fingerprint import CROPS, Fingerprint, Fingerprinter, Sketch, sketch
from in21k.shards_manifest.images.decode import decode
from in21k.shards_manifest.images.faults import DecoderGuard, ImageError
from in21k.shards_manifest.images.gzipped import unpacked
from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.storage.location import Location

_IMAGES_PER_TASK = 500
_LIMITS = Limits(pixels=128_000_000)


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """Where an image's bytes are."""

    path: str
    """The file that holds them, relative to its set."""
    offset: int
    size: int


@dataclass(frozen=True)
class _HashTask:
    root: Location
    first: int
    """The number of its first image in the set."""
    places: Sequence[ImagePlace]

    @property
    def name(self) -> str:
        return f"{self.root.text}: {self.places[0].path}"


@dataclass(frozen=True, eq=False)
class Hashed:
    """The fingerprints of n images."""

    rows: npt.NDArray[np.uint64]
    """uint64 [n, 7]: hash, those of windows, digest; zeros where an image cannot be read."""
    faults: tuple[tuple[int, str], ...]
    """The numbers of the images that cannot be read, and why."""


def hash_images(
    root: Location, places: Sequence[ImagePlace], workers: Workers, advance: Callable[[int], object]
) -> Hashed:
    """Return the fingerprints of images.

    Args:
        root: what their paths are relative to.
        places: where they are.
        workers: who reads and decodes them.
        advance: called with the number of images that were read.

    Raises:
        DatasetError: a file cannot be read.
    """
    rows = np.zeros((len(places), CROPS + 2), np.uint64)
    faults: list[tuple[int, str]] = []
    tasks = (
        _HashTask(root, first, places[first : first + _IMAGES_PER_TASK])
        for first in range(0, len(places), _IMAGES_PER_TASK)
    )
    for first, hashed in run_tasks(_hash, tasks, workers):
        rows[first : first + len(hashed.rows)] = hashed.rows
        faults += [(first + at, why) for at, why in hashed.faults]
        advance(len(hashed.rows))
    return Hashed(rows, tuple(sorted(faults)))


def read_images(root: Location, places: Sequence[ImagePlace]) -> Iterator[bytes]:
    """Yield the bytes of images, in order; files whose images are adjacent are opened once.

    Raises:
        DatasetError: a file cannot be read.
    """
    for path, adjacent in groupby(places, key=attrgetter("path")):
        reader = (root / path).open_ranges()
        try:
            for place in adjacent:
                yield reader.read(place.offset, place.size)
        finally:
            reader.close()


def _hash(task: _HashTask) -> tuple[int, Hashed]:
    """Return the number of the first image and the fingerprints of a task's (a worker's task)."""
    rows = np.zeros((len(task.places), CROPS + 2), np.uint64)
    faults, sound, found = [], [], Fingerprinter()
    for at, data in enumerate(read_images(task.root, task.places)):
        try:
            found.add(_sketch(data))
            sound.append(at)
        except ImageError as error:
            faults.append((at, f"{error.fault}: {error.detail}"))
    for at, each in zip(sound, found.all(), strict=True):
        rows[at] = _row(each)
    return task.first, Hashed(rows, tuple(faults))


def _sketch(data: bytes) -> Sketch:
    file = unpacked(data)
    picture = decode(file, _LIMITS)
    with DecoderGuard(file):
        return sketch(file, picture.pixels)


def _row(found: Fingerprint) -> npt.NDArray[np.uint64]:
    crops = np.frombuffer(found.crop_phashes, ">u8").astype(np.uint64)
    return np.concatenate([[np.uint64(found.phash)], crops, [np.uint64(found.file_digest)]])
