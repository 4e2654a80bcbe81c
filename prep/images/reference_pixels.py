"""The authors' pixels, for those who must compare with published numbers: their loop over OpenCV, image for image.

Alibaba-MIIL/ImageNet21K decodes with OpenCV, resizes bilinearly without antialiasing, writes JPEG at quality 95, and
copies images whose longer side is shorter than the size.
"""

from typing import Any

import numpy as np

from in21k.prep.errors import PrepError
from in21k.prep.images.decode import ImageRejectedError, decode
from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.records import Reason


def resize_as_reference(data: bytes, parameters: ResizeParameters) -> bytes:
    """Return an image as the authors' script writes it.

    Raises:
        ImageRejectedError: it is none of ours (see `decode`), or OpenCV cannot read it.
        PrepError: OpenCV is not installed.
    """
    decode(data, parameters.max_pixels)  # the same images are refused, for the same reasons, before OpenCV sees them
    cv2 = _opencv()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ImageRejectedError(Reason.DAMAGED, "OpenCV reads no image")
    if max(image.shape[:2]) < parameters.size:
        return data
    side = parameters.size
    resized = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    return bytes(cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, parameters.quality])[1])


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise PrepError("--compat reference needs OpenCV: pip install 'in21k[reference]'") from None
    cv2.setNumThreads(1)
    return cv2
