"""The paper's augmentation on arrays: Cutout, then RandAugment, on images of 0 to 255."""

import cv2
import numpy as np
import numpy.typing as npt

from in21k.train.augment_plan import OPS, Augmentation, Draws, cutout_box, strength
from in21k.train.image_ops import apply_op

Pixels = npt.NDArray[np.uint8]

cv2.setNumThreads(0)  # the loader's processes share the CPUs


def augment(image: Pixels, augmentation: Augmentation, draws: Draws, place: int) -> None:
    """Augment an image in place.

    Args:
        image: uint8 [H, W, 3].
        augmentation: what to do.
        draws: the random numbers of a batch.
        place: the image's in the batch.
    """
    height, width = image.shape[:2]
    if augmentation.cutout:
        top, bottom, left, right = cutout_box(draws.centre[place], augmentation.cutout, height, width)
        image[top:bottom, left:right] = draws.colour[place]
    result = image
    for op, sign in zip(draws.ops[place].tolist(), draws.signs[place].tolist(), strict=True):
        result = apply_op(OPS[op], result, strength(OPS[op], augmentation.magnitude, sign, height, width))
    if result is not image:
        image[:] = result
