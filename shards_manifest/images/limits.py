"""How large a picture may be, checked against its header before memory is taken for its pixels."""

from dataclasses import dataclass

from in21k.shards_manifest.images.faults import ImageError, ImageFault

MEMORY = 1 << 30
"""Bytes of decoded pixels: more than 8-bit pictures within the limits on pixels take."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a picture may be."""

    pixels: int
    memory: int = MEMORY
    """Bytes of its decoded pixels, as the decoder holds them."""

    def check(self, width: int, height: int, bytes_per_pixel: int) -> None:
        """Check a picture's size.

        Raises:
            ImageError: it has too many pixels, or they would take too much memory.
        """
        if width * height > self.pixels:
            raise ImageError(ImageFault.TOO_MANY_PIXELS, f"{width} × {height} pixels")
        if width * height * bytes_per_pixel > self.memory:
            detail = f"{width} × {height} pixels of {bytes_per_pixel} bytes, more than {self.memory >> 20} MiB"
            raise ImageError(ImageFault.TOO_MANY_PIXELS, detail)


PREPARED = Limits(pixels=1 << 28)
"""For images of a prepared dataset: `resize` writes at most 4096 × 65,500 pixels."""
