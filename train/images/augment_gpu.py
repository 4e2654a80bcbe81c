"""Augmentation of a whole batch in torch, on its device: the same operations as on the CPU, in the same order.

Which image gets which operation is known in advance, so the images of one operation are processed together and nothing
waits for the device.
"""

import numpy as np
import torch

from in21k.train.images.augment_draws import (
    OPS,
    RANDOM,
    RANDOM_OPS,
    Augmentation,
    Draws,
    cutout_box,
    draw,
    random_strength,
    strength,
)
from in21k.train.images.erasing_gpu import erase_batch
from in21k.train.images.ops_gpu import apply_op, on_device
from in21k.train.images.random_ops_gpu import apply_random_op, fill_boxes


def augment_batch(images: torch.Tensor, augmentation: Augmentation, epoch: int, start: int) -> torch.Tensor:
    """Return a batch as augmented by the random numbers of its positions in the epoch.

    Args:
        images: uint8 [B, 3, H, W] on any device; not changed.
        augmentation: the augmentation.
        epoch: the epoch, from 0.
        start: position of the first image in the epoch's order.
    """
    height, width = images.shape[2:]
    draws = draw(augmentation, epoch, start, len(images))
    result = images.contiguous()
    if draws.flips.any():
        result = torch.where(on_device(draws.flips, images.device)[:, None, None, None], result.flip(3), result)
    if augmentation.cutout:
        inclusive = augmentation.inclusive
        boxes = [cutout_box(each, augmentation.cutout, height, width, inclusive=inclusive) for each in draws.center]
        result = fill_boxes(result, np.array(boxes), draws.color)
    else:
        result = result.clone()
    for at in range(augmentation.ops):
        if augmentation.policy == RANDOM:
            _apply_random(result, draws, at)
        else:
            _apply(result, draws, at, augmentation.magnitude)
    if draws.erasing is not None:
        erase_batch(result, draws.erasing)
    return result.contiguous(memory_format=torch.channels_last)


def _apply(result: torch.Tensor, draws: Draws, at: int, magnitude: int) -> None:
    """Change a batch in place by each image's operation of a number, in torchvision's policy."""
    ops, signs, (height, width) = draws.ops[:, at], draws.signs[:, at], result.shape[2:]
    for number, sign in sorted(set(zip(ops.tolist(), signs.tolist(), strict=True))):
        if OPS[number] == "Identity":
            continue
        rows = on_device(np.flatnonzero((ops == number) & (signs == sign)), result.device)
        value = strength(OPS[number], magnitude, sign, height, width)
        result[rows] = apply_op(OPS[number], result[rows], value)


def _apply_random(result: torch.Tensor, draws: Draws, at: int) -> None:
    """Change a batch in place by each image's operation of a number, in the random policy."""
    ops, magnitudes, signs, places = (each[:, at] for each in draws.of_ops)
    for number in sorted(set(ops.tolist())):
        if not number:  # it does nothing
            continue
        name, chosen = RANDOM_OPS[number], np.flatnonzero(ops == number)
        pairs = zip(magnitudes[chosen].tolist(), signs[chosen].tolist(), strict=True)
        values = np.array([random_strength(name, magnitude, sign) for magnitude, sign in pairs])
        rows = on_device(chosen, result.device)
        result[rows] = apply_random_op(name, result[rows], values, places[chosen])
