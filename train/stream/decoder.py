"""Samples into one batch of pixels and labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from in21k.train.arrays import IntArray, Pixels
from in21k.train.data.interfaces import Sample
from in21k.train.data.partition import Slots
from in21k.train.errors import TrainError
from in21k.train.images.augment_cpu import augment
from in21k.train.images.augment_draws import Augmentation, crop_offsets, draw
from in21k.train.images.decode import CENTRE, decode_into
from in21k.train.images.decode_wild import decode_wild


class Labels(NamedTuple):
    """What a batch is beside its pixels."""

    class_indices: IntArray
    """int64 [B]; 0 where not valid."""
    valid: npt.NDArray[np.bool_]
    """bool [B]: False for padding and for images that do not decode."""
    skipped: tuple[str, ...]
    """Keys of the images that do not decode."""
    epoch: int
    start: int
    """The epoch's position of the first place."""


@dataclass(frozen=True)
class BatchDecoder:
    """How the samples of a split become pixels."""

    augmentation: Augmentation | None
    crop_seed: int | None
    """Of where images that are not square are cropped; None takes the middle."""
    crops: bool
    """Whether images that are not square are cropped; they are squished otherwise."""
    strict: bool
    """Whether an image that does not decode is an error."""
    as_found: bool = False
    """Whether images are turned upright, and decoded where libjpeg only warns."""

    def decode(self, samples: Sequence[Sample | None], slots: Slots, pixels: Pixels) -> Labels:
        """Fill a batch and return its labels; places without an image are black.

        Args:
            samples: B samples; None for padding.
            slots: the batch's place in the plan.
            pixels: uint8 [B, H, W, 3], to be filled.

        Raises:
            TrainError: an image does not decode, and that is an error.
        """
        class_indices = np.zeros(len(samples), np.int64)
        valid = np.zeros(len(samples), np.bool_)
        skipped = []
        draws = draw(self.augmentation, slots.epoch, slots.start, len(samples)) if self.augmentation else None
        crops = self._crops(slots, len(samples))
        decode = decode_wild if self.as_found else decode_into
        for place, sample in enumerate(samples):
            crop = crops[place] if crops else None
            if sample is None or sample.damage or not decode(sample.image, pixels[place], crop):
                pixels[place] = 0
                if sample is not None:
                    self._refuse(sample)
                    skipped.append(sample.key)
                continue
            class_indices[place] = sample.class_index
            valid[place] = True
            if self.augmentation is not None and draws is not None:
                augment(pixels[place], self.augmentation, draws, place)
        return Labels(class_indices, valid, tuple(skipped), slots.epoch, slots.start)

    def _crops(self, slots: Slots, count: int) -> list[tuple[float, float]] | None:
        if not self.crops:
            return None
        if self.crop_seed is None:
            return [CENTRE] * count
        offsets = crop_offsets(self.crop_seed, slots.epoch, slots.start, count)
        return [(y, x) for y, x in offsets.tolist()]

    def _refuse(self, sample: Sample) -> None:
        if self.strict:
            reason = sample.damage or "its image does not decode"
            raise TrainError(f"the sample {sample.key} is damaged ({reason}); without --strict it would be skipped")
