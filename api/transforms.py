"""Batches of what someone's own transform makes of each image, wherever and in whatever order they are decoded."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.faults import ImageError
from in21k.train.data.interfaces import Sample
from in21k.train.data.partition import BatchPlan
from in21k.train.errors import TrainError
from in21k.train.images.decode_wild import read_pixels
from in21k.train.images.hashes import hashed
from in21k.train.stream.batch import Batch, BatchLabels


@dataclass(frozen=True)
class TransformedBatches:
    """Makes a batch of the samples of each step."""

    transform: Callable[[Any], Tensor]
    """Makes a tensor of an RGB PIL image; with loader processes it is pickled, so it is no lambda then."""
    image_size: int
    """Side of the black image that takes the place of one that does not decode, and of padding."""
    seed: int
    """Of the transform's random numbers."""

    def __call__(self, batches: Iterable[tuple[BatchPlan, list[Sample | None]]]) -> Iterator[Batch]:
        """Yield the batch of each step.

        Raises:
            TrainError: the transform did not give tensors of one shape.
        """
        for plan, samples in batches:
            seeds = hashed(self.seed, plan.epoch, plan.start, len(samples), 1, stream=_STREAM)[:, 0].tolist()
            rows = [self._row(sample, seed) for sample, seed in zip(samples, seeds, strict=True)]
            yield Batch(_stacked([row[0] for row in rows]), _labels(plan, samples, [row[1] for row in rows]))

    def _row(self, sample: Sample | None, seed: int) -> tuple[Tensor, str]:
        """Return what the transform makes of a sample, and why the sample has no image; nothing if it has one."""
        fault, image = "padding", None
        if sample is not None:
            fault = sample.fault
            try:
                image = None if fault else PIL.Image.fromarray(_pixels(sample))
            except ImageError as error:
                fault = one_line(error)
        black = PIL.Image.new("RGB", (self.image_size, self.image_size))
        with _seeded(seed):
            made = self.transform(image or black)
        if not isinstance(made, Tensor):
            raise TrainError(f"the transform gave {type(made).__name__}; make it give a tensor, as ToTensor() does")
        return made, fault


_STREAM = 7
"""Of the random numbers that seed a transform, apart from those of our own augmentation."""


def _pixels(sample: Sample) -> Any:
    image = sample.image
    assert isinstance(image, memoryview), "a sample of a prepared dataset"
    return read_pixels(image)


def _stacked(rows: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(row.shape) for row in rows}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise TrainError(f"the transform gave shapes {first} and {second} in one batch; resize or crop to one")
    return torch.stack(list(rows))


def _labels(plan: BatchPlan, samples: Sequence[Sample | None], faults: Sequence[str]) -> BatchLabels:
    pairs = list(zip(samples, faults, strict=True))
    return BatchLabels(
        class_indices=torch.tensor([0 if sample is None or fault else sample.class_index for sample, fault in pairs]),
        valid=torch.tensor([not fault for _, fault in pairs]),
        skipped=tuple(sample.key for sample, fault in pairs if sample is not None and fault),
        epoch=plan.epoch,
        start=plan.start,
        faults=tuple(fault for sample, fault in pairs if sample is not None and fault),
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global random numbers within the block, and leave them as they were before it."""
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(seed & 0x7FFFFFFFFFFFFFFF)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
