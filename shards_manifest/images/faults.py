"""Why image bytes are not a picture: one exception for everything that decoders raise."""

from enum import StrEnum

import PIL


class ImageFault(StrEnum):
    """Why image bytes are not a picture."""

    EMPTY = "empty"
    NOT_AN_IMAGE = "not-an-image"
    """None of the formats that are opened, or one that no installed library reads."""
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    TOO_MANY_PIXELS = "too-many-pixels"
    """More pixels, or more memory for them, than the limits, the machine or the written format allow."""
    TOO_MANY_SCANS = "too-many-scans"
    """A JPEG that takes unreasonably long to decode."""
    TOO_SMALL = "too-small"
    """A side shorter than the limits ask for."""


class ImageError(Exception):
    """Image bytes that do not become a picture."""

    def __init__(self, fault: ImageFault, detail: str) -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail
        """What was seen, for people."""

    def __str__(self) -> str:
        return f"{self.fault}: {self.detail}"


class DecoderGuard:
    """A block in which whatever a decoder raises, MemoryError included, becomes an ImageError.

    KeyboardInterrupt and SystemExit pass: they are not the decoder's. It is a class because the hot paths enter it for
    every image, and a generator takes three times as long.
    """

    __slots__ = ("_data",)

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Raise what the block raised as an ImageError."""
        if isinstance(error, Exception) and not isinstance(error, ImageError):
            raise _as_image_error(error, self._data) from error


def _as_image_error(error: Exception, data: bytes | memoryview) -> ImageError:
    if isinstance(error, PIL.UnidentifiedImageError):
        return not_an_image(data)
    if isinstance(error, MemoryError):
        return ImageError(ImageFault.TOO_MANY_PIXELS, f"not enough memory to decode {len(data)} bytes")
    fault = ImageFault.TRUNCATED if "truncated" in str(error).lower() else ImageFault.DAMAGED
    return ImageError(fault, f"{type(error).__name__}: {error}")


def not_an_image(data: bytes | memoryview, why: str = "") -> ImageError:
    """Return the error for bytes that no decoder takes, with the first of them."""
    if not data:
        return ImageError(ImageFault.EMPTY, "0 bytes")
    detail = f"{len(data)} bytes beginning {bytes(data[:16])!r}"
    return ImageError(ImageFault.NOT_AN_IMAGE, f"{detail}; {why}" if why else detail)
