"""Non-finite losses, gradients and weights: found without waiting for the device, reported with a remedy."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from in21k.train.errors import TrainError

MAX_CONSECUTIVE_OVERFLOWS = 25
"""Consecutive overflows after which float16 will not do: the loss scale has gone from 65,536 to below 1."""


class GradientStats(NamedTuple):
    """Statistics of the gradients of some steps."""

    mean_norm: float
    """Over the steps with a finite gradient; nan if there are none."""
    non_finite: int
    """Steps with a non-finite gradient."""
    consecutive: int
    """The longest run of such steps, counting those before that lead into these."""
    first: int | None
    """The first such step, counted from 1; None if there are none."""


class GradientWatch:
    """Follows the norm of the gradients on the device."""

    def __init__(self, device: torch.device) -> None:
        zero = torch.zeros((), dtype=torch.float64, device=device)
        self._consecutive = zero
        self._start = (zero, zero, zero, torch.full_like(zero, math.inf))
        self._steps = 0
        self._norms, self._non_finite, self._longest, self._first = self._start

    def add(self, norm: Tensor, step: int) -> None:
        """Count the gradient of a step.

        Args:
            norm: scalar on the device.
            step: counted from 1.
        """
        finite = torch.isfinite(norm)
        self._steps += 1
        self._norms = self._norms + torch.where(finite, norm, 0.0)
        self._non_finite = self._non_finite + ~finite
        self._consecutive = torch.where(finite, 0.0, self._consecutive + 1)
        self._longest = torch.maximum(self._longest, self._consecutive)
        self._first = torch.where(finite, self._first, self._first.clamp(max=step))

    def read(self) -> GradientStats:
        """Return the statistics since the last call; this waits for the device."""
        values = torch.stack([self._norms, self._non_finite, self._longest, self._first]).tolist()
        norms, non_finite, longest, first = values
        finite = self._steps - int(non_finite)
        self._steps = 0
        self._norms, self._non_finite, self._longest, self._first = self._start
        return GradientStats(
            mean_norm=norms / finite if finite else math.nan,
            non_finite=int(non_finite),
            consecutive=int(longest),
            first=int(first) if non_finite else None,
        )


def check_finite(loss: float, gradients: GradientStats, step: int, scale: float | None) -> None:
    """Refuse a non-finite loss, non-finite gradients, and float16 that keeps overflowing.

    Args:
        loss: mean over the steps since the last check.
        gradients: of the same steps.
        step: steps done.
        scale: the loss scale of float16, with which a single step may overflow and is skipped; None without one.

    Raises:
        TrainError: training cannot go on.
    """
    remedy = "start a new run with a lower --lr, or with --set optim.clip_norm=1"
    since = f"from step {gradients.first} on" if scale is None and gradients.first else f"by step {step}"
    if not math.isfinite(loss):
        raise TrainError(f"the loss is {loss} {since}; {remedy}")
    if scale is None and gradients.non_finite:
        raise TrainError(f"the gradient is not finite {since}; {remedy}")
    if gradients.consecutive >= MAX_CONSECUTIVE_OVERFLOWS:
        raise TrainError(
            f"float16 gradients overflowed at {gradients.consecutive} consecutive steps by step {step}, down to a loss "
            f"scale of {scale:g}; continue with --resume --set run.amp_dtype=bfloat16, or with --resume --no-amp"
        )


def check_weights(weights: Mapping[str, Tensor], step: int) -> None:
    """Refuse non-finite weights.

    Raises:
        TrainError: a value is infinite or nan.
    """
    floats = {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in floats.values()]).tolist()
    if bad := next((name for name, good in zip(floats, finite, strict=True) if not good), None):
        raise TrainError(
            f"{bad} is not finite after step {step}, so no checkpoint is written; start a new run with a lower --lr"
        )
