"""The authors' pixels, for comparison with published numbers: their OpenCV loop, image by image.

Alibaba-MIIL/ImageNet21K decodes with OpenCV, resizes bilinearly without antialiasing, writes JPEGs of quality 95, and
copies images whose longer side is shorter than the size.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from in21k.prep.errors import PrepError
from in21k.prep.images.parameters import ResizeParameters
from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.images.reference import decode_as_opencv
from in21k.shards_manifest.images.webp import opencv


def resize_as_reference(data: bytes, parameters: ResizeParameters, limits: Limits) -> tuple[bytes, Image.Image]:
    """Return an image as the authors' script writes it, and its picture.

    Raises:
        ImageError: the image cannot be decoded, by us or by OpenCV.
        PrepError: OpenCV is not installed.
    """
    cv2 = _opencv()
    image = decode_as_opencv(data, limits)
    if max(image.shape[:2]) < parameters.size:
        return data, _picture(image)
    side = parameters.size
    resized = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    encoded = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, parameters.quality])[1]
    return bytes(encoded), _picture(resized)


def _picture(image: npt.NDArray[np.uint8]) -> Image.Image:
    """Return the picture of pixels that are blue, green and red, as OpenCV has them."""
    return Image.fromarray(image[:, :, ::-1])


def _opencv() -> Any:
    cv2 = opencv()
    if cv2 is None:
        raise PrepError("--compat reference needs OpenCV: pip install 'in21k[reference]'")
    cv2.setNumThreads(1)  # the images are resized in parallel already
    return cv2
