"""Checks of an image: it decodes, and is of the size, colors and format that the manifest's parameters name."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import PIL
import simplejpeg
from PIL import Image

from in21k.shards_manifest.errors import one_line


@dataclass(frozen=True)
class ImageRule:
    """What the images of a dataset are to be."""

    size: int
    mode: str
    """`squish`, `short-edge` or `center-crop`."""
    format: str
    """`jpeg` or `webp`."""
    copies_small: bool
    """Whether images whose longer side is shorter than `size` are there as they were in the dump."""

    @classmethod
    def of(cls, resize: Mapping[str, Any]) -> "ImageRule":
        """Return the rule that the parameters of resize make."""
        return cls(
            size=int(resize["size"]),
            mode=str(resize.get("mode", "squish")),
            format=str(resize.get("format", "jpeg")),
            copies_small=bool(resize.get("compat")),
        )


@dataclass(frozen=True)
class DecodedImage:
    """What decoding an image showed."""

    width: int
    height: int
    format: str
    is_rgb: bool


class StoredImage:
    """An image's bytes as a shard holds them, decoded once when the first check asks."""

    def __init__(self, data: bytes, rule: ImageRule) -> None:
        self.data = data
        self.rule = rule

    @cached_property
    def decoded(self) -> DecodedImage | str:
        """What decoding showed, or why it failed."""
        try:
            if self.data.startswith(b"\xff\xd8"):
                try:
                    return _decode_jpeg(self.data)
                except ValueError:
                    if not self.rule.copies_small:
                        raise
            return _decode_any(self.data)
        except (ValueError, OSError, PIL.UnidentifiedImageError, SyntaxError) as error:
            return f"{type(error).__name__}: {one_line(error)}"

    @property
    def is_copied(self) -> bool:
        """Whether it is a small image that the parameters leave as it was."""
        image = self.decoded
        return (
            self.rule.copies_small
            and isinstance(image, DecodedImage)
            and max(image.width, image.height) < self.rule.size
        )


def undecodable(image: StoredImage) -> str | None:
    """Return why an image does not decode."""
    return image.decoded if isinstance(image.decoded, str) else None


def other_size(image: StoredImage) -> str | None:
    """Return the size of an image that has not the wanted one."""
    found, rule = image.decoded, image.rule
    if isinstance(found, str) or image.is_copied:
        return None
    short, long = sorted((found.width, found.height))
    if short == rule.size and (long == rule.size or rule.mode == "short-edge"):
        return None
    wanted = f"a short side of {rule.size}" if rule.mode == "short-edge" else f"{rule.size} × {rule.size}"
    return f"{found.width} × {found.height} pixels, not {wanted}"


def other_colors(image: StoredImage) -> str | None:
    """Return that an image is not RGB."""
    if isinstance(image.decoded, str) or image.is_copied or image.decoded.is_rgb:
        return None
    return "not RGB"


def other_format(image: StoredImage) -> str | None:
    """Return the format of an image that has not the wanted one."""
    if isinstance(image.decoded, str) or image.is_copied or image.decoded.format == image.rule.format:
        return None
    return f"{image.decoded.format}, not {image.rule.format}"


IMAGE_CHECKS: tuple[tuple[str, Callable[[StoredImage], str | None]], ...] = (
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
