"""The page of duplicates: pictures of some pairs of each kind, side by side, as one file that opens from disk."""

import base64
import hashlib
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from in21k.prep.duplicates.table import JoinedSets
from in21k.prep.duplicates.twins import IntArray
from in21k.shards_manifest.images.decode import decode
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.images.gzipped import unpacked
from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.manifest import SPLITS

SHOWN = 48
"""Pairs of a section."""

_SIDE = 128
_QUALITY = 72
_LIMITS = Limits(pixels=128_000_000)
_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1240px; padding: 0 1em }
body { color: #222; background: #fff }
h1 { font-size: 1.5em }
h2 { font-size: 1.15em; margin-top: 2em }
h2 small, .how { color: #767676; font-weight: normal }
.pairs { display: flex; flex-wrap: wrap; gap: 12px }
figure { margin: 0; padding: 8px; border: 1px solid #ddd; border-radius: 6px; width: 274px }
.two { display: flex; gap: 6px; align-items: center; min-height: 132px }
.two span { flex: 1; text-align: center; overflow-wrap: anywhere }
img { max-width: 128px; max-height: 128px }
figcaption { font-size: 12px; overflow-wrap: anywhere; margin-top: 6px }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #1b1b1b }
  h2 small, .how { color: #999 }
  figure { border-color: #444 }
}
"""


@dataclass(frozen=True, eq=False)
class Section:
    """Some pairs under a heading."""

    title: str
    note: str
    """What stands beside it, such as how many there are."""
    first: IntArray
    """int64 [n]: numbers of images in the joined sets."""
    second: IntArray
    """int64 [n]."""
    how: Sequence[str]
    """How near and how alike each pair is."""


class EvenChoice:
    """Some rows of a stream, evenly chosen however long it is."""

    def __init__(self, most: int) -> None:
        self.seen = 0
        self._most = most
        self._stride = 1
        self._rows: list[tuple[int, ...]] = []

    def add(self, *columns: npt.NDArray[np.generic]) -> None:
        """Add rows, as columns of integers."""
        start = -self.seen % self._stride
        self._rows += zip(*(column[start :: self._stride].tolist() for column in columns), strict=True)
        self.seen += len(columns[0])
        while len(self._rows) >= 2 * self._most:
            self._rows, self._stride = self._rows[::2], 2 * self._stride

    def columns(self, count: int) -> list[IntArray]:
        """Return the chosen rows, as `count` columns: int64 [m]."""
        at = np.unique(np.linspace(0, len(self._rows) - 1, min(self._most, len(self._rows))).astype(np.int64))
        chosen = np.array([self._rows[row] for row in at.tolist()], np.int64).reshape(-1, count)
        return list(chosen.T)


def duplicates_page(title: str, sections: Sequence[Section], findings: Sequence[str], sets: JoinedSets) -> str:
    """Return the HTML page. It loads nothing, and shows every name as plain text.

    Raises:
        DatasetError: a picture's file cannot be read.
    """
    ends = [images for section in sections for images in (section.first, section.second)]
    used = np.unique(np.concatenate([np.zeros(0, np.int64), *ends]))
    pictures = {at: _thumbnail(data) for at, data in zip(used.tolist(), sets.read(used), strict=True)}
    captions = dict(zip(used.tolist(), _captions(used, sets), strict=True))
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_base64(hashlib.sha256(_STYLE.encode()).digest())}'"
    )
    heading = html.escape(title)
    noted = "".join(f"<li>{html.escape(finding)}</li>" for finding in findings)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{_STYLE}</style></head>'
        f"<body><h1>{heading}</h1>{f'<ul>{noted}</ul>' if noted else ''}"
        + "".join(_section(section, pictures, captions) for section in sections)
        + "</body></html>\n"
    )


def _section(section: Section, pictures: Mapping[int, str], captions: Mapping[int, str]) -> str:
    figures = "".join(
        f'<figure><div class="two"><span>{pictures[first]}</span><span>{pictures[second]}</span></div><figcaption>'
        f'{captions[first]}<br>{captions[second]}<br><span class="how">{html.escape(how)}</span></figcaption></figure>'
        for first, second, how in zip(section.first.tolist(), section.second.tolist(), section.how, strict=True)
    )
    heading = f"<h2>{html.escape(section.title)} <small>{html.escape(section.note)}</small></h2>"
    return f'<section>{heading}<div class="pairs">{figures}</div></section>'


def _captions(images: IntArray, sets: JoinedSets) -> list[str]:
    """Return the key of each image, and its split and class if it is in the dataset, as HTML."""
    names = sets.dataset.class_names
    splits, classes = sets.places(images)
    captions = []
    for key, split, index in zip(sets.keys(images).to_pylist(), splits.tolist(), classes.tolist(), strict=True):
        where = f" {SPLITS[split]}, {names[index]}" if index >= 0 else ""
        captions.append(f"<b>{html.escape(key)}</b>{html.escape(where)}")
    return captions


def _thumbnail(data: bytes) -> str:
    """Return an image as HTML: small, or in words if it cannot be decoded."""
    try:
        picture = decode(unpacked(data), _LIMITS).pixels.convert("RGB")
    except ImageError as error:
        return html.escape(f"no picture: {error.fault}")
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_QUALITY)
    return f'<img alt="" src="data:image/jpeg;base64,{_base64(encoded.getvalue())}">'


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
