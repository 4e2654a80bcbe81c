"""A batch: the images and labels of one step on one rank."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch

from in21k.shards_manifest.images.decode import Pixels


class StepBatch(Protocol):
    """What the training loop knows of the images of one step, whatever is to be learned of them."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Keys of the images that do not decode."""


class NamedSample(NamedTuple):
    """Which image a row of a batch is."""

    key: str
    label_id: int
    """Its row in the data's label sets, also where the image does not decode."""
    fault: str
    """Why it does not decode; empty if it does."""


@dataclass(frozen=True, eq=False)
class BatchLabels:
    """What a batch says about its images."""

    class_indices: torch.Tensor
    """int64 [B]: each image's row in the dataset's label sets, its class where it has just one; 0 where not valid."""
    valid: torch.Tensor
    """bool [B]: False for padding and for images that do not decode."""
    skipped: tuple[str, ...]
    """Keys of the images that do not decode."""
    epoch: int
    start: int
    """Position of the batch's first image in the epoch's order; epoch and position seed the augmentation."""
    faults: tuple[str, ...] = ()
    """Why each of those that are skipped does not decode."""
    named: tuple[NamedSample, ...] = ()
    """Every image but padding, in order, where the source asks for them; otherwise none."""

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "BatchLabels":
        """Return the labels with their tensors on a device.

        Args:
            device: the device.
            non_blocking: copy while the GPU computes, which only page-locked memory allows.
        """
        tensors = self.class_indices, self.valid
        if non_blocking and device.type == "cuda":
            tensors = tensors[0].pin_memory(), tensors[1].pin_memory()
        class_indices, valid = (each.to(device, non_blocking=non_blocking) for each in tensors)
        return replace(self, class_indices=class_indices, valid=valid)

    def __reduce__(self) -> tuple[Any, ...]:
        # Between processes torch would send each tensor as a file of shared memory; an array travels as plain bytes.
        arrays = self.class_indices.numpy(), self.valid.numpy()
        return _from_arrays, (*arrays, self.skipped, self.epoch, self.start, self.faults, self.named)


@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    """The images of one step on one rank, with their labels."""

    images: torch.Tensor
    """uint8 [B, 3, H, W]: RGB, 0 to 255, channels last in memory. The memory is reused once nothing refers to it.

    Of videos [B F, 3, H, W], the F frames of each one together."""
    labels: BatchLabels

    def __repr__(self) -> str:
        kind, labels = str(self.images.dtype).removeprefix("torch."), self.labels
        place = f"epoch {labels.epoch} from position {labels.start}"
        return f"Batch(images {kind} {list(self.images.shape)}, {int(labels.valid.sum())} of them valid, {place})"

    @property
    def skipped(self) -> tuple[str, ...]:
        """Keys of the images that do not decode."""
        return self.labels.skipped

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Batch":
        """Return the batch with its tensors on a device."""
        images = self.images.to(device, non_blocking=non_blocking)
        return Batch(images, self.labels.to(device, non_blocking=non_blocking))

    def __reduce__(self) -> tuple[Any, ...]:
        # As plain bytes, like the labels: /dev/shm may be too small for images, and whoever writes there then dies.
        if self.images.dim() != 4:  # what someone's own transform made of the images
            return _batch_from_rows, (self.images.numpy(), self.labels)
        return _batch_from_pixels, (self.images.permute(0, 2, 3, 1).numpy(), self.labels)

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield all tensors of the batch."""
        yield from (self.images, self.labels.class_indices, self.labels.valid)


def as_images(pixels: Pixels) -> torch.Tensor:
    """Return uint8 [B, H, W, 3] as a tensor [B, 3, H, W] over the same memory, which it keeps in use."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _from_arrays(class_indices: Any, valid: Any, *others: Any) -> BatchLabels:
    return BatchLabels(torch.from_numpy(class_indices), torch.from_numpy(valid), *others)


def _batch_from_rows(rows: Any, labels: BatchLabels) -> Batch:
    return Batch(torch.from_numpy(rows), labels)


def _batch_from_pixels(pixels: Pixels, labels: BatchLabels) -> Batch:
    return Batch(as_images(pixels), labels)
