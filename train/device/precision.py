"""Mixed precision: the number type that a device computes in."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


def compute_dtype(device: torch.device, amp: bool, dtype: str = "auto") -> torch.dtype:
    """Return the type in which a device computes what tolerates rounding.

    Args:
        device: the device.
        amp: whether to mix precisions at all; otherwise everything is float32.
        dtype: bfloat16, float16 or auto: bfloat16 if the GPU supports it natively, else float16; float32 on a CPU.
    """
    if not amp:
        return torch.float32
    if dtype != "auto":
        return torch.bfloat16 if dtype == "bfloat16" else torch.float16
    if device.type != "cuda":
        return torch.float32
    # torch also emulates bfloat16 on older GPUs, at a fraction of float16's speed
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def autocast(device: torch.device, amp: bool, dtype: str = "auto") -> AbstractContextManager[Any]:
    """Return the context of mixed precision, in the type that `compute_dtype` chooses."""
    chosen = compute_dtype(device, amp, dtype)
    if chosen == torch.float32:
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype=chosen)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute in float32 within the block, without autocast and without TF32."""
    matmul, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolutions


def loss_scaler(device: torch.device, amp: bool, dtype: str = "auto") -> torch.amp.GradScaler:
    """Return the loss scaler that float16 needs; it does nothing if the device computes in another type."""
    return torch.amp.GradScaler(device.type, enabled=compute_dtype(device, amp, dtype) == torch.float16)
