"""Losses, gradients and weights that are no numbers: found without waiting for the device, told with a remedy."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from in21k.train.errors import TrainError

OVERFLOWS_IN_A_ROW = 25
"""Steps skipped in a row after which float16 will not do: the loss scale has gone from 65,536 to below 1."""


class GradientFigures(NamedTuple):
    """What the gradients of some steps were like."""

    mean_norm: float
    """Over the steps whose gradient is finite; nan where there are none."""
    not_finite: int
    """Steps whose gradient is not finite."""
    in_a_row: int
    """The most of those in a row, also over the steps before."""
    first: int | None
    """The first of those, counted from 1; None where there are none."""


class GradientWatch:
    """Follows the gradients' norms on the device."""

    def __init__(self, device: torch.device) -> None:
        zero = torch.zeros((), dtype=torch.float64, device=device)
        self._row = zero
        self._start = (zero, zero, zero, torch.full_like(zero, math.inf))
        self._steps = 0
        self._norms, self._not_finite, self._longest, self._first = self._start

    def add(self, norm: Tensor, step: int) -> None:
        """Count the gradient of a step.

        Args:
            norm: scalar on the device.
            step: counted from 1.
        """
        finite = torch.isfinite(norm)
        self._steps += 1
        self._norms = self._norms + torch.where(finite, norm, 0.0)
        self._not_finite = self._not_finite + ~finite
        self._row = torch.where(finite, 0.0, self._row + 1)
        self._longest = torch.maximum(self._longest, self._row)
        self._first = torch.where(finite, self._first, self._first.clamp(max=step))

    def read(self) -> GradientFigures:
        """Return what was seen since the last call; this waits for the device."""
        values = torch.stack([self._norms, self._not_finite, self._longest, self._first]).tolist()
        norms, not_finite, longest, first = values
        finite = self._steps - int(not_finite)
        self._steps = 0
        self._norms, self._not_finite, self._longest, self._first = self._start
        return GradientFigures(
            norms / finite if finite else math.nan, int(not_finite), int(longest), int(first) if not_finite else None
        )


def check_finite(loss: float, gradients: GradientFigures, step: int, scale: float | None) -> None:
    """Refuse to go on with a loss or gradients that are no numbers.

    Args:
        loss: mean over the steps since the last check.
        gradients: of the same steps.
        step: steps done.
        scale: the loss scale of float16, with which single steps may overflow and are left out; None without one.

    Raises:
        TrainError: the loss or a gradient is infinite or no number, or float16 overflows all the time.
    """
    remedy = "begin a new run with a lower --lr, or with --set optim.clip_norm=1"
    since = f"from step {gradients.first} on" if scale is None and gradients.first else f"by step {step}"
    if not math.isfinite(loss):
        raise TrainError(f"the loss is {loss} {since}; {remedy}")
    if scale is None and gradients.not_finite:
        raise TrainError(f"the gradient is not finite {since}; {remedy}")
    if gradients.in_a_row >= OVERFLOWS_IN_A_ROW:
        raise TrainError(
            f"float16 gradients overflowed {gradients.in_a_row} steps in a row by step {step}, down to a loss scale of "
            f"{scale:g}; go on with --resume --set run.amp_dtype=bfloat16, or with --resume --no-amp"
        )


def check_weights(weights: Mapping[str, Tensor], step: int) -> None:
    """Refuse weights that are no numbers.

    Raises:
        TrainError: a value is infinite or no number.
    """
    floats = {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in floats.values()]).tolist()
    if bad := next((name for name, good in zip(floats, finite, strict=True) if not good), None):
        raise TrainError(
            f"{bad} is not finite after step {step}, and no checkpoint is written; begin a new run with a lower --lr"
        )
