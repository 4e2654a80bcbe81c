"""The cost of a model: its parameters, and its multiply-adds per image."""

from dataclasses import dataclass

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from in21k.train.model import ofa as ofa  # registers OFA-595 with timm


@dataclass(frozen=True)
class ModelCost:
    """The cost of a model."""

    parameters: int
    macs: int
    """Multiply-adds of convolutions, linear layers and attention per image."""


def model_cost(name: str, classes: int = 1000, image_size: int = 224) -> ModelCost:
    """Return the cost of one of timm's models, which is built and run without memory for its tensors.

    Args:
        name: timm's.
        classes: outputs of its classifier.
        image_size: side of the image in pixels.
    """
    with torch.device("meta"):
        module = timm.create_model(name, num_classes=classes).eval()
        image = torch.empty(1, 3, image_size, image_size)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(image)
    return ModelCost(sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2)
