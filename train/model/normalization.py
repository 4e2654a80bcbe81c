"""The range of a model's inputs: 0 to 1, or standardised by the mean and std that timm states for its weights."""

from dataclasses import dataclass

import timm
import torch


def to_inputs(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return images as a model takes them, float32 of 0 to 1 on the device, without mean and std.

    Args:
        images: uint8 [B, 3, H, W]; memory order is kept.
        device: to compute on.
    """
    return images.to(device, non_blocking=True).float().div_(255)


UNIT = "unit"
TIMM = "timm"
AUTO = "auto"


@dataclass(frozen=True)
class Normalization:
    """What is done to pixels of 0 to 1, a channel each."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Taken off."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divided by."""

    @property
    def is_identity(self) -> bool:
        """Whether inputs stay between 0 and 1."""
        return self == Normalization()

    def inputs(self, images: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Return images as the model takes them, float32 on the device.

        Args:
            images: uint8 [B, 3, H, W]; memory order is kept.
            device: to compute on.
        """
        unit = to_inputs(images, device)
        if self.is_identity:
            return unit
        channels = torch.tensor([self.mean, self.std])
        mean, std = channels.to(device, non_blocking=True).view(2, 3, 1, 1)  # made there, they would wait for the GPU
        return unit.sub_(mean).div_(std)


def normalization_of(name: str, inputs: str) -> Normalization:
    """Return how a model's inputs are made.

    Args:
        name: timm's, with the tag of its weights.
        inputs: `timm` for the mean and std that timm states for the name; else inputs lie between 0 and 1.
    """
    config = timm.models.get_pretrained_cfg(name) if inputs == TIMM else None
    return Normalization(tuple(config.mean), tuple(config.std)) if config else Normalization()
