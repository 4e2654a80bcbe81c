"""Checks of an image: it decodes, and has the size, colors and format that the manifest promises."""

from collections.abc import Callable
from functools import cached_property

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.decode import ImageFacts, examine
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.images.limits import prepared_limits
from in21k.shards_manifest.manifest import ImageSpec


class ImageSubject:
    """An image under verification, decoded once, when the first check asks."""

    def __init__(self, data: bytes, spec: ImageSpec) -> None:
        self.data = data
        self.spec = spec

    @cached_property
    def decoded(self) -> ImageFacts | str:
        """What decoding showed, or why it failed."""
        try:
            limits = prepared_limits(self.spec.size, is_square=self.spec.is_square)
            return examine(self.data, limits, as_found=self.spec.copies_small)
        except ImageError as error:
            return one_line(error)

    @property
    def is_copied(self) -> bool:
        """Whether it is a small image, which `--compat reference` copies unchanged."""
        image = self.decoded
        return (
            self.spec.copies_small
            and isinstance(image, ImageFacts)
            and self.spec.size is not None
            and max(image.width, image.height) < self.spec.size
        )


def undecodable(image: ImageSubject) -> str | None:
    """Return why an image does not decode."""
    return image.decoded if isinstance(image.decoded, str) else None


def other_size(image: ImageSubject) -> str | None:
    """Return a message where an image has another size."""
    found, spec = image.decoded, image.spec
    if isinstance(found, str) or image.is_copied or spec.size is None:
        return None
    short, long = sorted((found.width, found.height))
    if short == spec.size and (long == spec.size or not spec.is_square):
        return None
    return f"{found.width} × {found.height} pixels, not {spec.dimensions}"


def other_colors(image: ImageSubject) -> str | None:
    """Return a message where an image is not RGB."""
    if isinstance(image.decoded, str) or image.is_copied or image.decoded.is_rgb:
        return None
    return "not RGB"


def other_format(image: ImageSubject) -> str | None:
    """Return a message where an image has another format."""
    if isinstance(image.decoded, str) or image.is_copied or image.decoded.format == image.spec.format:
        return None
    return f"{image.decoded.format}, not {image.spec.format}"


IMAGE_CHECKS: tuple[tuple[str, Callable[[ImageSubject], str | None]], ...] = (
    ("E401", undecodable),
    ("E402", other_size),
    ("E403", other_colors),
    ("E404", other_format),
)
"""What is checked for every image, by code."""
