"""Augmentation of an image on the CPU: a flip, Cutout, RandAugment in either policy, then random erasing."""

from in21k.shards_manifest.images.decode import Pixels
from in21k.train.images.augment_draws import RANDOM, Augmentation, Draws, cutout_box, random_strength, strength
from in21k.train.images.ops_cpu import apply_op
from in21k.train.images.random_ops_cpu import apply_random_op


def augment(image: Pixels, augmentation: Augmentation, draws: Draws, row: int) -> None:
    """Augment an image in place.

    Args:
        image: uint8 [H, W, 3].
        augmentation: the augmentation.
        draws: the random numbers of a batch.
        row: the image's row in the batch.
    """
    height, width = image.shape[:2]
    if draws.flips[row]:
        image[:] = image[:, ::-1].copy()
    if augmentation.cutout:
        center, inclusive = draws.center[row], augmentation.inclusive
        top, bottom, left, right = cutout_box(center, augmentation.cutout, height, width, inclusive=inclusive)
        image[top:bottom, left:right] = draws.color[row]
    result, names = image, augmentation.names
    for op, magnitude, sign, place in zip(*(each[row].tolist() for each in draws.of_ops), strict=True):
        name = names[op]
        if augmentation.policy == RANDOM:
            result = apply_random_op(name, result, random_strength(name, magnitude, sign), place)
        else:
            result = apply_op(name, result, strength(name, magnitude, sign, height, width))
    if result is not image:
        image[:] = result
    if draws.erasing is not None:
        draws.erasing.erase(image, row)
