"""Small pictures of images by number, for the sheet: read anew from where the images came from."""

import base64
import io
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from in21k.shards_manifest.images.decode import Pixels
from in21k.shards_manifest.images.faults import ImageError
from in21k.train.data.open_datasets.image_files import is_image_name
from in21k.train.embed.reader import Embeddings
from in21k.train.embed.source import EmbeddingSource
from in21k.train.images.decode_wild import read_pixels

SIDE = 112
_QUALITY = 72
_ORDERED = 64
"""Images that are read at once."""


class Pictures(Protocol):
    """Where the images are."""

    def read(self, numbers: Sequence[int]) -> "dict[int, bytes | memoryview | Pixels]":
        """Return images by number, as files or pixels; one that cannot be read is missing."""


@dataclass(frozen=True, eq=False)
class SourcePictures:
    """The images of what was embedded."""

    source: EmbeddingSource

    def read(self, numbers: Sequence[int]) -> "dict[int, bytes | memoryview | Pixels]":
        """Return images by number."""
        found: dict[int, bytes | memoryview | Pixels] = {}
        first = 0
        with self.source.caching:
            for piece in self.source.pieces:
                own = sorted(number - first for number in numbers if first <= number < first + piece.images)
                with ExitStack() as stack:
                    reader = piece.source.open_reader()
                    stack.callback(reader.close)
                    for start in range(0, len(own), _ORDERED):
                        wanted = own[start : start + _ORDERED]
                        samples = reader.collect(reader.request(np.array(wanted, np.int64)))
                        found |= {
                            first + at: sample.image
                            for at, sample in zip(wanted, samples, strict=True)
                            if sample is not None and not sample.fault and not isinstance(sample.image, Path)
                        }
                first += piece.images
        return found


@dataclass(frozen=True, eq=False)
class FilePictures:
    """The image files that embeddings name, where they are still there; images within tars and shards are not read."""

    images: Embeddings

    def read(self, numbers: Sequence[int]) -> "dict[int, bytes | memoryview | Pixels]":
        """Return images by number."""
        found: dict[int, bytes | memoryview | Pixels] = {}
        for number in numbers:
            path = self.images.images["path"][number].as_py()
            if path is not None and is_image_name(path) and os.path.isfile(path):  # noqa: PTH113 - may be any text
                try:
                    found[number] = Path(path).read_bytes()
                except OSError:
                    continue
        return found


def thumbnail(image: "bytes | memoryview | Pixels | None") -> str:
    """Return an image as HTML: small, as a JPEG within the page; in words where there is none."""
    if image is None:
        return "<i>no picture</i>"
    try:
        pixels = image if isinstance(image, np.ndarray) else read_pixels(image)
    except ImageError as error:
        return f"<i>no picture: {error.fault}</i>"
    small, encoded = Image.fromarray(pixels), io.BytesIO()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    small.save(encoded, "JPEG", quality=_QUALITY)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode("ascii")}">'
