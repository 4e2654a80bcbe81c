"""What OpenCV makes of an image: the authors' script reads with it, so comparisons with their pixels need it."""

import numpy as np
import numpy.typing as npt

from in21k.shards_manifest.images.decode import decode
from in21k.shards_manifest.images.faults import DecoderGuard, ImageError, ImageFault
from in21k.shards_manifest.images.formats import PNG, recognize
from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.images.webp import opencv

_PNG_SIGNATURE, _PNG_CHUNK = 8, 12
"""Bytes of a PNG's signature, and of a chunk around its content."""


def decode_as_opencv(data: bytes, limits: Limits) -> npt.NDArray[np.uint8]:
    """Return what OpenCV's `imread` would: uint8 [H, W, 3], channels blue, green and red.

    Images that `decode` refuses are refused here, for the same reasons, before OpenCV sees them.

    Raises:
        ImageError: the bytes are not a picture, or OpenCV does not read them.
        ModuleNotFoundError: OpenCV is not installed.
    """
    decode(data, limits)
    cv2 = opencv()
    if cv2 is None:
        raise ModuleNotFoundError("OpenCV is not installed", name="cv2")
    image: npt.NDArray[np.uint8] | None = None
    with DecoderGuard(data):
        if recognize(data) is not PNG or _has_possible_chunks(data):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ImageError(ImageFault.DAMAGED, "OpenCV reads no image")
    return image


def _has_possible_chunks(data: bytes) -> bool:
    """Return whether no chunk of a PNG claims to be longer than the file.

    OpenCV takes the memory that a chunk claims, up to 4 GiB, before it reads it.
    """
    at = _PNG_SIGNATURE
    while at + _PNG_CHUNK <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if length > len(data):
            return False
        if kind == b"IEND":
            break
        at += _PNG_CHUNK + length
    return True
