"""The samples of a batch, decoded into its pixels and labels; and how many may be skipped.

A few images that do not decode are normal; more are a broken disk or copy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.decode import Pixels
from in21k.shards_manifest.images.faults import ImageError
from in21k.train.data.interfaces import Decoding, Sample
from in21k.train.data.partition import BatchPlan
from in21k.train.errors import TrainError
from in21k.train.images.augment_cpu import augment
from in21k.train.images.augment_draws import Augmentation, Draws, draw
from in21k.train.images.crops import CENTER, Crop, SquareCrop, crop_offsets, resized_crops
from in21k.train.images.decode import decode_into
from in21k.train.images.decode_wild import decode_wild
from in21k.train.stream.batch import BatchLabels, NamedSample
from in21k.train.video.clips import Clips, Places
from in21k.train.video.decode_clips import decode_clips
from in21k.train.video.faults import VideoError

ALWAYS_ALLOWED = 5
"""Images in one pass that may be skipped, however small the dataset."""


_Cut = tuple[Crop | None, Places]
"""What is cut out of an image or of each frame, None for nothing, and where the clips of a video begin."""


@dataclass(frozen=True)
class BatchDecoder:
    """Decodes and augments the batches of a split."""

    decoding: Decoding
    augmentation: Augmentation | None = None
    names_samples: bool = False
    """Whether the labels say which images they belong to."""
    clips: Clips | None = None
    """What is taken of each video; None where the samples are images."""

    def decode(self, samples: Sequence[Sample | None], plan: BatchPlan, pixels: Pixels) -> BatchLabels:
        """Fill a batch's pixels and return its labels; padding and images that do not decode are black.

        Args:
            samples: B samples; None for padding.
            plan: the batch's plan.
            pixels: uint8 [B, H, W, 3], to be filled; of videos [B F, H, W, 3], the F frames of each one together.

        Raises:
            TrainError: an image does not decode, and the decoding is strict.
        """
        class_indices = np.zeros(len(samples), np.int64)
        valid = np.zeros(len(samples), np.bool_)
        faults: list[str] = []
        drawn, crops = self._drawn(plan, len(samples)), self._crops(plan, len(samples))
        places, by_sample = self._places(plan, len(samples)), self._by_sample(pixels)
        for row, (sample, crop) in enumerate(zip(samples, crops, strict=True)):
            valid[row] = sample is not None and self._decode_sample(sample, by_sample[row], (crop, places[row]), faults)
            if sample is None or not valid[row]:
                by_sample[row] = 0
                continue
            class_indices[row] = sample.class_index
            if drawn:
                for image in (by_sample[row],) if self.clips is None else by_sample[row]:
                    augment(image, *drawn, row)  # all frames of a video by the same random numbers
        return BatchLabels(
            class_indices=torch.from_numpy(class_indices),
            valid=torch.from_numpy(valid),
            skipped=tuple(each.key for each, good in zip(samples, valid, strict=True) if each and not good),
            epoch=plan.epoch,
            start=plan.start,
            faults=tuple(faults),
            named=_named(samples, valid.tolist(), faults) if self.names_samples else (),
        )

    def _by_sample(self, pixels: Pixels) -> Pixels:
        """Return a batch's pixels with a row for each sample: [B, H, W, 3], or of videos [B, F, H, W, 3]."""
        return pixels if self.clips is None else pixels.reshape(-1, self.clips.rows, *pixels.shape[1:])

    def _decode_sample(self, sample: Sample, own: Pixels, cut: _Cut, faults: list[str]) -> bool:
        """Decode a sample into its row of the batch and return whether that succeeded; if not, note why."""
        fault = sample.fault or self._fault(sample, own, cut)
        if not fault:
            return True
        if self.decoding.strict:
            what = "image" if self.clips is None else "video"
            raise TrainError(f"the {what} {sample.key} does not decode; without --strict it would be skipped")
        faults.append(fault)
        return False

    def _fault(self, sample: Sample, own: Pixels, cut: _Cut) -> str:
        """Decode a sample into its row and return why that is not possible; nothing if it is."""
        image = sample.image
        if isinstance(image, Path):
            return self._clips_fault(sample.key, image, own, cut)
        decode = decode_wild if self.decoding.wild else decode_into
        try:
            decode(image, own, cut[0], **self._resizing)
        except ImageError as error:
            return one_line(error)
        return ""

    @cached_property
    def _resizing(self) -> Mapping[str, str]:
        """How images are resized; random crops are cut out of whole ones."""
        downscale = self.decoding.downscale if self.decoding.random_crops is None else ""
        return {"downscale": downscale, "interpolation": self.decoding.interpolation}

    def _clips_fault(self, key: str, path: Path, own: Pixels, cut: _Cut) -> str:
        """Decode a video's clips into its rows and return why that is not possible; nothing if it is."""
        assert self.clips is not None, "a video, and no word on its clips"
        crop, places = cut
        try:
            decode_clips(path, own, self.clips, places, crop, **self._resizing)
        except VideoError as error:
            return one_line(error)
        except OSError as error:
            raise TrainError(f"the video {key} cannot be read: {one_line(error)}; restore it or remove it") from error
        return ""

    def _drawn(self, plan: BatchPlan, count: int) -> tuple[Augmentation, Draws] | None:
        """Return the augmentation of a batch with its random numbers, None without one."""
        if self.augmentation is None:
            return None
        return self.augmentation, draw(self.augmentation, plan.epoch, plan.start, count)

    def _places(self, plan: BatchPlan, count: int) -> Sequence[Places]:
        """Return where the clips of each video begin; nothing for images."""
        return [()] * count if self.clips is None else self.clips.places(plan.epoch, plan.start, count)

    def _crops(self, plan: BatchPlan, count: int) -> Sequence[Crop | None]:
        """Return what is cut out of each image; None for images not cropped."""
        decoding, batch = self.decoding, (plan.epoch, plan.start, count)
        if (random := decoding.random_crops) is not None:
            return resized_crops(random.areas, random.ratios, random.seed, *batch)
        if not decoding.crops:
            return [None] * count
        if decoding.crop_seed is None:
            return [CENTER] * count
        return [SquareCrop(y, x) for y, x in crop_offsets(decoding.crop_seed, *batch).tolist()]


def _named(samples: Sequence[Sample | None], valid: Sequence[bool], faults: Sequence[str]) -> tuple[NamedSample, ...]:
    left = iter(faults)
    return tuple(
        NamedSample(sample.key, sample.class_index, "" if good else next(left))
        for sample, good in zip(samples, valid, strict=True)
        if sample is not None
    )


def check_skipped(skipped: int, seen: int, passes: int, share: float, name: str) -> None:
    """Refuse data of which too many images do not decode.

    Args:
        skipped: images that do not decode, over all ranks.
        seen: images read so far, those included.
        passes: passes over the split that have begun; a bad image counts in each of them.
        share: `data.max_skipped`, 0 to 1; at 0 not one image may be skipped.
        name: what messages call the data.

    Raises:
        TrainError: more images are skipped than the share and `ALWAYS_ALLOWED` allow.
    """
    allowed = max(share * seen, ALWAYS_ALLOWED * passes) if share else 0
    if skipped > allowed:
        raise TrainError(
            f"{name}: {skipped} of {seen} images do not decode, more than a share of {share:g} (--max-skipped); "
            "restore the data, or allow more"
        )
