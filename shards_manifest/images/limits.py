"""How large a picture may be, checked against its header before memory is taken for its pixels."""

from dataclasses import dataclass

from in21k.shards_manifest.images.faults import ImageError, ImageFault

MEMORY = 1 << 30
"""Bytes of decoded pixels: more than 8-bit pictures within the limits on pixels take."""

BYTES_PER_PIXEL = 4
"""That Pillow takes for a pixel of mode RGB or RGBX."""

_LONGEST_JPEG = 65_500
_ANY_SIZE = 1 << 24
"""Pixels of an image that a prepared dataset may hold by mistake, for `verify` to say what size it has."""
_MOST_PREPARED = 1 << 28


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a picture may be."""

    pixels: int
    memory: int = MEMORY
    """Bytes that its pixels may take together, as they are decoded, turned, converted and resized."""
    min_side: int = 0
    """Pixels that its shorter side must have."""

    def check(self, width: int, height: int, bytes_per_pixel: int) -> None:
        """Check a picture's size.

        Raises:
            ImageError: it has too many pixels, they would take too much memory, or a side is too short.
        """
        if min(width, height) < self.min_side:
            raise ImageError(ImageFault.TOO_SMALL, f"{width} × {height} pixels")
        if width * height > self.pixels:
            raise ImageError(ImageFault.TOO_MANY_PIXELS, f"{width} × {height} pixels")
        if width * height * bytes_per_pixel > self.memory:
            detail = f"{width} × {height} pixels of {bytes_per_pixel} bytes, more than {self.memory >> 20} MiB"
            raise ImageError(ImageFault.TOO_MANY_PIXELS, detail)

    def check_resized(self, size: tuple[int, int], target: tuple[int, int]) -> None:
        """Check that a picture, the resized one, and what Pillow makes in between fit into the memory.

        Pillow resizes horizontally first: a picture of 1 × 100,000,000 pixels becomes one of 224 × 100,000,000.

        Args:
            size: width and height of the picture.
            target: width and height of the resized one.

        Raises:
            ImageError: they do not fit.
        """
        between = 0 if target[0] == size[0] else target[0] * size[1]
        if BYTES_PER_PIXEL * (size[0] * size[1] + between + target[0] * target[1]) > self.memory:
            detail = (
                f"{size[0]} × {size[1]} pixels, {target[0]} × {target[1]} resized: more than {self.memory >> 20} MiB"
            )
            raise ImageError(ImageFault.TOO_MANY_PIXELS, detail)


def prepared_limits(size: int | None, *, is_square: bool) -> Limits:
    """Return the limits for images of a prepared dataset, with room for those of a wrong size.

    Args:
        size: their side, or their short side, in pixels; None where the manifest does not say.
        is_square: whether they are squares.
    """
    if size is None:
        return Limits(pixels=_MOST_PREPARED)
    right = size * (size if is_square else _LONGEST_JPEG)
    return Limits(pixels=min(max(_ANY_SIZE, right), _MOST_PREPARED))
