"""What copies of an image are found by: hashes of its picture that hardly change in a copy, and one of its file.

A picture's hash is that of pHash (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010):
the signs of its lowest frequencies, by a cosine transform of 32 × 32 gray pixels. Zero takes the place of the median
there, so that a mirrored picture has the same hash but for the known bits of `MIRRORED`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash
from PIL import Image

SIDE = 32
"""Side of the gray picture, in pixels."""
CROPS = 5
"""The windows that are hashed beside the whole: the middle and the four corners."""
CROPPED = 0.05
"""The share of its width and height that such a window leaves out."""

_FREQUENCIES = 9
_BITS = 64
_SPREAD = 27
"""Odd: puts frequencies that are alike into bits that are apart, as the search's blocks of bits want them."""
_SCALE = 4096
_AT_A_TIME = 64
"""Sketches of which fingerprints are made together."""


def _used_frequencies() -> list[tuple[int, int]]:
    """Return the (vertical, horizontal) frequency of each bit, highest bit first: the 64 lowest but the mean."""
    every = ((down, across) for down in range(_FREQUENCIES) for across in range(_FREQUENCIES))
    lowest = sorted(every, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[1 : _BITS + 1]
    return [lowest[bit * _SPREAD % _BITS] for bit in range(_BITS)]


_USED = _used_frequencies()

MIRRORED = sum((across & 1) << (_BITS - 1 - bit) for bit, (_, across) in enumerate(_USED))
"""The bits in which a picture and its mirror image differ: those of odd horizontal frequencies."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What copies of an image are found by."""

    phash: int
    """The hash of the whole picture, 64 bits; 0 for one of a single color."""
    crop_phashes: bytes
    """Those of its windows, 8 bytes each, big-endian: middle, top left, top right, bottom left, bottom right."""
    file_digest: int
    """XXH3, 64 bits, of the image's file as it is in the dump, unpacked if it is gzipped there."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a fingerprint is made of."""

    picture: Image.Image
    """32 × 32 pixels, of mode RGB or RGBX."""
    file_digest: int


def sketch(data: bytes, picture: Image.Image) -> Sketch:
    """Return the sketch of an image.

    Args:
        data: the image's file.
        picture: its picture, of any size; of mode RGB or RGBX.
    """
    return Sketch(squished(picture), xxhash.xxh3_64_intdigest(data))


def squished(picture: Image.Image) -> Image.Image:
    """Return a picture squished to 32 × 32 pixels."""
    across, down = picture.width // SIDE, picture.height // SIDE
    if (across * SIDE, down * SIDE) == picture.size:
        return picture.reduce((across, down))
    return picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)


class Fingerprinter:
    """Makes fingerprints of sketches, many at a time: one by one, hashing would take three times as long."""

    def __init__(self) -> None:
        self._waiting: list[Sketch] = []
        self._done: list[Fingerprint] = []

    def add(self, sketch: Sketch) -> None:
        """Take a sketch."""
        self._waiting.append(sketch)
        if len(self._waiting) == _AT_A_TIME:
            self._flush()

    def all(self) -> list[Fingerprint]:
        """Return the fingerprints of all sketches, in order."""
        self._flush()
        return self._done

    def _flush(self) -> None:
        if self._waiting:
            hashes = picture_hashes(np.stack([_gray(sketch.picture) for sketch in self._waiting]))
            for sketch, each in zip(self._waiting, hashes, strict=True):
                self._done.append(Fingerprint(int.from_bytes(each[:8], "big"), each[8:], sketch.file_digest))
            self._waiting.clear()


def _gray(small: Image.Image) -> npt.NDArray[np.uint8]:
    return np.frombuffer(small.convert("L").tobytes(), np.uint8).reshape(SIDE, SIDE)


def picture_hashes(pixels: npt.NDArray[np.uint8]) -> list[bytes]:
    """Return the hashes of gray pictures, uint8 [n, 32, 32], and of their windows: 8 bytes each, big-endian.

    The transform's factors are integers, and so are all its sums, below 2^53: they are the same on any machine.
    """
    coefficients = _FACTORS @ pixels.astype(np.float64) @ _ACROSS
    bits = coefficients.reshape(len(pixels), -1)[:, _POSITIONS] > 0
    return [each.tobytes() for each in np.packbits(bits, axis=1)]


def _factors(start: float, length: float) -> npt.NDArray[np.float64]:
    """Return the cosine transform of a window, [frequencies, 32]: integrals over each pixel's share of the window.

    Rounding must leave every frequency but the first without a mean, or a bright picture would show in all of them.
    """
    edges = np.clip(np.arange(SIDE + 1.0), start, start + length) - start
    waves = np.pi * np.arange(1, _FREQUENCIES)[:, None] / length
    integrals = np.vstack([edges, np.sin(waves * edges) / waves])
    factors = np.round(np.diff(integrals, axis=1) * _SCALE)
    mean = factors[1:].sum(axis=1)
    factors[1:, SIDE // 2 - 1] -= np.floor(mean / 2)
    factors[1:, SIDE // 2] -= np.ceil(mean / 2)
    return factors


def _positions() -> Iterator[int]:
    """Yield where each bit's coefficient is among all: of the whole, the middle, and the corners."""
    for vertical, horizontal in ((0, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3)):
        for down, across in _USED:
            row, column = vertical * _FREQUENCIES + down, horizontal * _FREQUENCIES + across
            yield row * 4 * _FREQUENCIES + column


_MARGIN = CROPPED * SIDE
_FIRST = _factors(0, SIDE - _MARGIN)
_LAST = _FIRST[:, ::-1] * (-1) ** np.arange(_FREQUENCIES)[:, None]
_FACTORS = np.vstack([_factors(0, SIDE), _factors(_MARGIN / 2, SIDE - _MARGIN), _FIRST, _LAST])
"""float64 [4 × frequencies, 32]: of the whole, the middle, the first and the last part of a row or column."""
_ACROSS = np.ascontiguousarray(_FACTORS.T)
_POSITIONS = np.fromiter(_positions(), np.intp)
