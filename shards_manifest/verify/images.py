"""Checks of an image: it decodes, and is of the size, colors and format that the manifest's parameters name."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import PIL
import simplejpeg
from PIL import Image

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.manifest import ImageSpec


@dataclass(frozen=True)
class DecodedImage:
    """What decoding an image showed."""

    width: int
    height: int
    format: str
    is_rgb: bool


class ImageSubject:
    """An image under verification, decoded once, when the first check asks."""

    def __init__(self, data: bytes, spec: ImageSpec) -> None:
        self.data = data
        self.spec = spec

    @cached_property
    def decoded(self) -> DecodedImage | str:
        """What decoding showed, or why it failed."""
        try:
            if self.data.startswith(b"\xff\xd8"):
                try:
                    return _decode_jpeg(self.data)
                except ValueError:
                    if not self.spec.copies_small:
                        raise
            return _decode_any(self.data)
        except (ValueError, OSError, PIL.UnidentifiedImageError, SyntaxError) as error:
            return f"{type(error).__name__}: {one_line(error)}"

    @property
    def is_copied(self) -> bool:
        """Whether it is a small image that the parameters leave as it was."""
        image = self.decoded
        return (
            self.spec.copies_small
            and isinstance(image, DecodedImage)
            and self.spec.size is not None
            and max(image.width, image.height) < self.spec.size
        )


def undecodable(image: ImageSubject) -> str | None:
    """Return why an image does not decode."""
    return image.decoded if isinstance(image.decoded, str) else None


def other_size(image: ImageSubject) -> str | None:
    """Return the size of an image that has not the wanted one."""
    found, spec = image.decoded, image.spec
    if isinstance(found, str) or image.is_copied or spec.size is None:
        return None
    short, long = sorted((found.width, found.height))
    if short == spec.size and (long == spec.size or not spec.is_square):
        return None
    return f"{found.width} × {found.height} pixels, not {spec.dimensions}"


def other_colors(image: ImageSubject) -> str | None:
    """Return that an image is not RGB."""
    if isinstance(image.decoded, str) or image.is_copied or image.decoded.is_rgb:
        return None
    return "not RGB"


def other_format(image: ImageSubject) -> str | None:
    """Return the format of an image that has not the wanted one."""
    if isinstance(image.decoded, str) or image.is_copied or image.decoded.format == image.spec.format:
        return None
    return f"{image.decoded.format}, not {image.spec.format}"


IMAGE_CHECKS: tuple[tuple[str, Callable[[ImageSubject], str | None]], ...] = (
    ("E401", undecodable),
    ("E402", other_size),
    ("E403", other_colors),
    ("E404", other_format),
)
"""What is checked of every image, by code."""


def _decode_jpeg(data: bytes) -> DecodedImage:
    height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    simplejpeg.decode_jpeg(data, "RGB" if colors != "Gray" else "Gray")
    return DecodedImage(width, height, "jpeg", colors == "YCbCr")


def _decode_any(data: bytes) -> DecodedImage:
    image = Image.open(io.BytesIO(data))
    image.load()
    return DecodedImage(image.width, image.height, (image.format or "").lower(), image.mode == "RGB")
