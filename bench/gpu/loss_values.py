"""Checks of the losses on the device: values and gradients against those of a CPU in float64."""

from typing import Any

import torch
from torch import Tensor

from gpu.check import Failed, Outcome, Skip
from gpu.setup import Setup
from in21k.train.config.settings import LossConfig
from in21k.train.device.backend import compiled
from in21k.train.device.choice import choose_device
from in21k.train.errors import TrainError
from in21k.train.losses.schemes import DISTILLING, build_loss
from in21k.train.model.level_order import level_order
from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.table import wordnet_hierarchy

SCALE = 2.0**16
"""The loss scale with which float16 begins."""

VALUE = 1e-4
"""The largest relative gap of a loss's value: it is computed in float32 in every precision."""

GRADIENT = {torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""The largest relative gap of a gradient: it is kept in the precision of the logits, or in float32 for float16."""

_FLOOR = 1e-3
"""Gradients below this share of the largest count as that: small ones are differences of large numbers."""


def equal(setup: Setup, scheme: str, dtypes: tuple[str, ...], compiles: bool = False) -> Outcome:
    """Check a scheme's loss on random logits of the 11,221 published classes, in some precisions."""
    device = choose_device(setup.device)
    hierarchy = wordnet_hierarchy(published_class_list(PublishedList.FALL11))
    config, order = LossConfig(scheme), level_order(hierarchy)
    slow, own = build_loss(config, order), build_loss(config, order).to(device)
    try:
        module: Any = compiled(own, device) if compiles else own
    except TrainError as error:
        raise Skip(str(error)) from error
    told = []
    for name in dtypes:
        dtype = getattr(torch, name)
        inputs = _inputs(setup.pick(64, 256), len(hierarchy), dtype, scheme in DISTILLING)
        scale = SCALE if dtype == torch.float16 else 1.0
        gaps = _gaps(
            _passed(slow, inputs, torch.float64, 1.0), scale, _passed(module, _on(inputs, device), dtype, scale)
        )
        told.append(f"{name}: value {gaps[0]:.1g}, gradient {gaps[1]:.1g}")
        if not (gaps[0] <= VALUE and gaps[1] <= GRADIENT[dtype]):
            raise Failed(f"{told[-1]} from float64 on a CPU, where {VALUE:g} and {GRADIENT[dtype]:g} are allowed")
    return Outcome(f"gaps in {'; in '.join(told)}")


def _on(tensors: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, ...]:
    return tuple(each.to(device) for each in tensors)


def _gaps(expected: tuple[float, Tensor], scale: float, found: tuple[float, Tensor]) -> tuple[float, float]:
    """Return the largest relative gap of value and gradient; the found gradient is that of a multiple of the loss."""
    value = abs(found[0] - expected[0]) / abs(expected[0])
    wanted = expected[1] * scale
    floor = _FLOOR * wanted.abs().max()
    gradient = ((found[1] - wanted).abs() / wanted.abs().clamp(min=floor)).max()
    return value, gradient.item()


def _inputs(rows: int, classes: int, dtype: torch.dtype, teaches: bool) -> tuple[Tensor, ...]:
    """Return logits of this precision, class indices, which are valid, and perhaps the teacher's logits."""
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(rows, classes, generator=generator) * 3).to(dtype)
    labels = torch.randint(classes, (rows,), generator=generator)
    valid = torch.rand(rows, generator=generator) < 0.9
    teacher = (torch.randn(rows, classes, generator=generator) * 3).to(dtype)
    return logits, labels, valid, *((teacher,) if teaches else ())


def _passed(loss: Any, inputs: tuple[Tensor, ...], dtype: torch.dtype, scale: float) -> tuple[float, Tensor]:
    """Return the loss of some logits computed in a precision, and the gradient of a multiple of it, on the CPU."""
    logits, labels, valid, *teacher = inputs
    logits = logits.to(dtype).detach().requires_grad_()
    value = loss(logits, labels, valid, *(each.to(dtype) for each in teacher))
    (value * scale).backward()
    assert logits.grad is not None
    return value.item(), logits.grad.cpu().double()
