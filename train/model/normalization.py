"""Normalization of a model's inputs: values from 0 to 1, or standardized by timm's mean and std for its weights."""

from dataclasses import dataclass

import timm
import torch

UNIT = "unit"
TIMM = "timm"
AUTO = "auto"


@dataclass(frozen=True)
class Normalization:
    """Mean and std per channel, applied to pixels of 0 to 1."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from the pixels."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides the difference."""

    @property
    def is_identity(self) -> bool:
        """Whether inputs stay between 0 and 1."""
        return self == Normalization()

    def inputs(self, images: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Return images as a model's inputs, float32 on the device.

        Args:
            images: uint8 [B, 3, H, W]; their memory format is kept.
            device: to compute on.
        """
        unit = images.to(device, non_blocking=True).float().div_(255)
        if self.is_identity:
            return unit
        channels = torch.tensor([self.mean, self.std])
        mean, std = channels.to(device, non_blocking=True).view(
            2, 3, 1, 1
        )  # created there, they would wait for the GPU
        return unit.sub_(mean).div_(std)


def normalization_of(name: str, inputs: str) -> Normalization:
    """Return the normalization of a model's inputs.

    Args:
        name: timm's, with the tag of its weights.
        inputs: `timm` for timm's mean and std of the name; otherwise inputs are between 0 and 1.
    """
    config = timm.models.get_pretrained_cfg(name) if inputs == TIMM else None
    return Normalization(tuple(config.mean), tuple(config.std)) if config else Normalization()
