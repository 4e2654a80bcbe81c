"""What a JPEG of several scans takes beyond its pixels: memory for its coefficients, and a pass over them per scan.

A progressive JPEG has about ten scans. A scan may be a few bytes long and still takes a pass over the whole picture, so
scans are counted; where that cannot matter, because the file or the picture is small, the markers are not read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.shards_manifest.images.limits import Limits

MAX_SCANS = 100
"""Other programs refuse such numbers too, and no camera or encoder comes near it."""

_QUICK = 10**10
"""Bytes × pixels up to which no number of scans takes more than about a second."""

_COEFFICIENT = 2
"""Bytes of a coefficient; there is one for each sample of a component."""
_MOST_COMPONENTS = 4

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
"""A marker with what follows it; stuffed zeros, restarts and fill bytes are none."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SCAN, _END = 0xDA, 0xD9


@dataclass(frozen=True, slots=True)
class Scans:
    """The scans of a JPEG."""

    number: int
    """As far as they were counted: the first beyond MAX_SCANS ends it."""
    samples_per_pixel: float
    """For which libjpeg keeps coefficients: 0 where one scan holds everything, 1.5 for 4:2:0, 3 for 4:4:4."""


def check_scans(data: bytes | memoryview, width: int, height: int, bytes_per_pixel: int, limits: Limits) -> None:
    """Check a JPEG's size, and its scans where they could take long or their coefficients much memory.

    Raises:
        ImageError: it is larger than the limits, or has too many scans.
    """
    limits.check(width, height, bytes_per_pixel)
    pixels = width * height
    most = pixels * (bytes_per_pixel + _COEFFICIENT * _MOST_COMPONENTS)
    if pixels * len(data) <= _QUICK and most <= limits.memory:
        return
    scans = scans_of(data)
    if scans.number > MAX_SCANS:
        raise ImageError(ImageFault.TOO_MANY_SCANS, f"{width} × {height} pixels in more than {MAX_SCANS} scans")
    limits.check(width, height, bytes_per_pixel + round(_COEFFICIENT * scans.samples_per_pixel))


def scans_of(data: bytes | memoryview) -> Scans:
    """Return the scans that a JPEG's markers announce, up to the end or to where it is cut short."""
    number, components, samples, is_progressive = 0, _MOST_COMPONENTS, float(_MOST_COMPONENTS), True
    try:
        for kind, at in _markers(data):
            if kind in _FRAMES:
                is_progressive, components = kind in _PROGRESSIVE, data[at + 7]
                samples = _samples_per_pixel(data, at + 8, components)
            elif kind == _SCAN:
                number += 1
                if not is_progressive and data[at + 2] >= components:
                    return Scans(1, 0)
                if number > MAX_SCANS:
                    break
    except IndexError:
        pass  # cut short: the decoder says so
    return Scans(number, samples)


def _markers(data: bytes | memoryview) -> Iterator[tuple[int, int]]:
    """Yield each marker before the end mark, and where what belongs to it begins."""
    at = 0
    while (found := _MARKER.search(data, at)) is not None:
        kind, at = found[1][0], found.end()
        if kind == _END:
            return
        yield kind, at
        at += data[at] << 8 | data[at + 1]


def _samples_per_pixel(data: bytes | memoryview, at: int, components: int) -> float:
    """Return how many samples of all components there are for a pixel, by the sampling factors of a frame header."""
    factors = [(data[each] >> 4, data[each] & 0xF) for each in range(at + 1, at + 1 + 3 * components, 3)]
    largest = max(h for h, _ in factors) * max(v for _, v in factors) if factors else 0
    return sum(h * v for h, v in factors) / largest if largest else float(components)
