"""Mixed precision: what a device computes in."""

from contextlib import AbstractContextManager
from typing import Any

import torch


def autocast(device: torch.device, amp: bool) -> AbstractContextManager[Any]:
    """Return the context of mixed precision: bfloat16 where the GPU has it, else float16; float32 on a CPU."""
    if not amp or device.type != "cuda":
        return torch.autocast(device.type, enabled=False)
    return torch.autocast("cuda", dtype=torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)


def loss_scaler(device: torch.device, amp: bool) -> torch.amp.GradScaler:
    """Return the loss scale of float16, which does nothing where the device computes in something else."""
    half = amp and device.type == "cuda" and not torch.cuda.is_bf16_supported()
    return torch.amp.GradScaler("cuda", enabled=half)


def to_inputs(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return images as a model takes them, float32 of 0 to 1 on the device, without mean and std.

    Args:
        images: uint8 [B, 3, H, W]; memory order is kept.
        device: to compute on.
    """
    return images.to(device, non_blocking=True).float().div_(255)
