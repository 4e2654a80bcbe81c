"""Batches of images of different sizes with their boxes: decoded, resized and mirrored in the loader processes."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.decode import Pixels
from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.train.config.settings import Config
from in21k.train.config.sizes import only_size
from in21k.train.data.fraction import whole_of
from in21k.train.data.interfaces import Sample, TrainingData
from in21k.train.data.open_datasets.boxes import BoxData, Boxes
from in21k.train.data.partition import BatchPlan, EvalPlan, TrainPlan
from in21k.train.errors import TrainError
from in21k.train.images.box_resize import BoxDraws, BoxSizes, draw_boxes, resize_boxed, resized_size
from in21k.train.images.decode_wild import read_pixels
from in21k.train.stream.batch_stream import BatchStream, WaitClock
from in21k.train.stream.loader import open_items


@dataclass(frozen=True, eq=False)
class BoxBatch:
    """The images of one step on one rank with their boxes; those that do not decode are missing."""

    images: tuple[Tensor, ...]
    """uint8 [3, H, W] each, of their own sizes."""
    boxes: tuple[Tensor, ...]
    """float32 [K, 4] each: left, top, right and bottom in pixels of the image as it is here."""
    classes: tuple[Tensor, ...]
    """int64 [K] each: class indices."""
    rows: tuple[int, ...]
    """Of each image, its row in the split as it was listed."""
    scales: tuple[tuple[float, float], ...]
    """Of each image, its width and height here as multiples of those in its file."""
    skipped: tuple[str, ...]
    """Keys of the images that do not decode."""

    def to(self, device: torch.device) -> "BoxBatch":
        """Return the batch with its tensors on a device."""
        images, boxes, classes = (
            tuple(each.to(device) for each in tensors) for tensors in (self.images, self.boxes, self.classes)
        )
        return replace(self, images=images, boxes=boxes, classes=classes)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def part(self, start: int, stop: int) -> "BoxBatch":
        """Return the images from one number to another, exclusive."""
        own = slice(start, stop)
        return BoxBatch(
            images=self.images[own],
            boxes=self.boxes[own],
            classes=self.classes[own],
            rows=self.rows[own],
            scales=self.scales[own],
            skipped=(),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # As plain bytes: between processes, torch would send each tensor as a file of shared memory.
        arrays = [[each.numpy() for each in tensors] for tensors in (self.images, self.boxes, self.classes)]
        return _from_arrays, (*arrays, self.rows, self.scales, self.skipped)


def _from_arrays(images: Any, boxes: Any, classes: Any, *others: Any) -> BoxBatch:
    images, boxes, classes = (tuple(map(torch.from_numpy, arrays)) for arrays in (images, boxes, classes))
    return BoxBatch(images, boxes, classes, *others)


@dataclass(frozen=True, eq=False)
class BoxDecoder:
    """Makes batches of a split's samples; it is pickled on its way to the loader processes."""

    boxes: Boxes
    first_label: int
    """The label set of the split's first image."""
    sizes: BoxSizes
    interpolation: str
    flip: float
    """Probability of mirroring an image."""
    seed: int | None
    """Of the draws; None draws nothing, as in evaluation."""
    strict: bool = False
    """Whether an image that does not decode is an error."""

    def batches(self, planned: Iterable[tuple[BatchPlan, list[Sample | None]]]) -> Iterator[BoxBatch]:
        """Yield a batch for each step's plan and samples."""
        for plan, samples in planned:
            yield self.batch(plan, samples)

    def batch(self, plan: BatchPlan, samples: Sequence[Sample | None]) -> BoxBatch:
        """Return the batch of a step.

        Raises:
            TrainError: an image does not decode, and the decoder is strict.
        """
        draws = self._draws(plan, len(samples))
        found, skipped = [], []
        for at, sample in enumerate(samples):
            if sample is None:
                continue
            try:
                found.append(self._decoded(sample, int(draws.sides[at]), flip=bool(draws.is_flipped[at])))
            except ImageError as error:
                if self.strict:
                    told = f"the image {sample.key} does not decode ({one_line(error)}); without --strict it is skipped"
                    raise TrainError(told) from error
                skipped.append(sample.key)
        images, boxes, classes, rows, scales = zip(*found, strict=True) if found else ((),) * 5
        return BoxBatch(images, boxes, classes, rows, scales, tuple(skipped))

    def _draws(self, plan: BatchPlan, count: int) -> BoxDraws:
        if self.seed is None:
            return BoxDraws(np.full(count, self.sizes.side), np.zeros(count, np.bool_))
        return draw_boxes(self.sizes, self.flip, self.seed, plan.epoch, plan.start, count)

    def _decoded(self, sample: Sample, side: int, *, flip: bool) -> tuple[Any, ...]:
        row = sample.class_index - self.first_label
        assert not isinstance(sample.image, Path)  # which only videos are
        pixels = sample.image if isinstance(sample.image, np.ndarray) else read_pixels(sample.image)
        width, height = self.boxes.sizes[row].tolist()
        if pixels.shape[:2] != (height, width):
            found = f"{pixels.shape[1]} × {pixels.shape[0]} pixels, annotated as {width} × {height}"
            raise ImageError(ImageFault.DAMAGED, found)
        size = resized_size(width, height, side, self.sizes.longest)
        boxes, classes = self.boxes.of(row)
        pixels, boxes = resize_boxed(pixels, boxes, size, self.interpolation, flip=flip)
        tensors = as_image(pixels), torch.from_numpy(boxes.astype(np.float32)), torch.from_numpy(classes)
        return (*tensors, row, (size[0] / width, size[1] / height))


def as_image(pixels: Pixels) -> Tensor:
    """Return uint8 [H, W, 3] as a tensor [3, H, W] with memory of its own."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def sizes_of(config: Config) -> BoxSizes:
    """Return how large a detector's images are.

    Raises:
        TrainError: `data.image_size` is a schedule.
    """
    side, detection = only_size(config.data.image_size, "a detector"), config.detection
    return BoxSizes(side, min(detection.least_side, side), max(detection.longest_side, side))


def box_data(data: TrainingData) -> BoxData:
    """Return the data that have the boxes of data, of which these may be a fraction."""
    whole = whole_of(data)
    assert isinstance(whole, BoxData)
    return whole


@contextmanager
def box_stream(
    data: TrainingData,
    plan: TrainPlan | EvalPlan,
    config: Config,
    device: torch.device,
    start_step: int = 0,
    clock: WaitClock | None = None,
) -> Iterator[Generator[BoxBatch]]:
    """Give the batches of a plan in order, with their tensors on the device, for the block.

    Args:
        data: with boxes, of which a training plan takes the train split, and one of an evaluation the val split.
        plan: which samples each step takes.
        config: sizes, seed and loader processes.
        device: where the tensors go.
        start_step: the first step to read.
        clock: counts how long batches are waited for.

    Raises:
        TrainError: as for `open_items`, or an image does not decode and `data.strict` is on.
    """
    is_training = isinstance(plan, TrainPlan)
    split = "train" if is_training else "val"
    decoder = BoxDecoder(
        boxes=box_data(data).boxes[split],
        first_label=box_data(data).first_label(split),
        sizes=sizes_of(config),
        interpolation=config.data.interpolation,
        flip=config.data.horizontal_flip,
        seed=config.run.seed if is_training else None,
        strict=config.data.strict,
    )
    workers = config.run.workers if isinstance(plan, TrainPlan) else min(config.run.workers, plan.steps)
    items: Any = open_items(data.reader(split), plan, decoder.batches, start_step=start_step, workers=workers)
    with closing(BatchStream(items, clock=clock)) as batches:
        yield _moved(batches, device)


def _moved(batches: Iterable[Any], device: torch.device) -> Generator[BoxBatch]:
    for batch in batches:
        yield batch.to(device)
