"""The optimizers, their parameter groups, and their state as named tensors."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from in21k.train.config.settings import OptimConfig
from in21k.train.errors import TrainError
from in21k.train.model.network import Network
from in21k.train.model.weights import Weights
from in21k.train.trainer.parameter_groups import SCALE, parameter_groups

SEPARATOR = "/"
"""Separates the name of a parameter, which contains none, from the name of its state."""


def build_optimizer(network: Network, config: OptimConfig, *, fused: bool = False) -> torch.optim.Optimizer:
    """Return the optimizer of a network; biases, norms and what the model names get no weight decay.

    With `adam`, weight decay is an L2 penalty on the loss, as in the reference code.

    Args:
        network: on its device.
        config: the optimizer.
        fused: take a step in one kernel, which skips steps that overflow without asking the CPU.

    Raises:
        TrainError: settings contradict each other.
    """
    _check(config)
    groups = parameter_groups(network, config)
    if config.name == "sgd":
        sgd = torch.optim.SGD(groups, config.lr, config.momentum, nesterov=config.nesterov, fused=fused)
        _fill_momentum(sgd)
        return sgd
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=fused)


def _check(config: OptimConfig) -> None:
    """Refuse settings that contradict each other."""
    if config.name == "sgd" and not config.momentum:
        for name in ("nesterov", "momentum_at_peak"):
            if getattr(config, name):
                raise TrainError(f"optim.{name} needs momentum, but optim.momentum is 0")


def optimizer_tensors(network: Network, optimizer: torch.optim.Optimizer) -> Weights:
    """Return an optimizer's state as `parameter/state` tensors, classes in class order."""
    return {
        f"{name}{SEPARATOR}{key}": network.to_classes(name, value)
        for name, parameter in network.module.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_tensors(network: Network, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load what `optimizer_tensors` returned.

    Raises:
        TrainError: the state is of another model.
    """
    parameters = dict(network.module.named_parameters())
    states: dict[str, dict[str, Tensor]] = {}
    for flat, value in tensors.items():
        name, _, key = flat.rpartition(SEPARATOR)
        if name not in parameters or (value.ndim and value.shape != parameters[name].shape):
            raise TrainError(f"the optimizer's state {flat!r} is of another model")
        value = network.to_rows(name, value)
        if value.ndim:  # in the parameter's memory format, or the optimizer takes its slow path
            value = torch.empty_like(parameters[name], dtype=value.dtype, requires_grad=False).copy_(value)
        states.setdefault(name, {})[key] = value
    names = {id(parameter): name for name, parameter in parameters.items()}
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[str, Any] = optimizer.state_dict()
    state["state"] = {number: states[name] for number, name in enumerate(order) if name in states}
    optimizer.load_state_dict(state)
    _fill_momentum(optimizer)


def _fill_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Set the momentum of a fused optimizer to zero where it has none, as before any step.

    torch makes it of uninitialized memory in the first step, and fills it in the kernel, unless that step overflows.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["fused"] and group.get("momentum") else ():
            optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter, requires_grad=False))


def one_cycle(
    step: int, total_steps: int, peak: float, pct_start: float, div_factor: float, final_div_factor: float
) -> float:
    """Return the learning rate of a step; a pure function, so that a resumed run needs no scheduler state.

    The schedule is torch's OneCycleLR, which the reference code uses.

    It rises from peak / div_factor to peak over the first `pct_start` of the run, and falls to
    peak / div_factor / final_div_factor at the last step, both along half a cosine.

    Args:
        step: 0 to total_steps - 1.
        total_steps: steps of the whole run.
        peak: the highest learning rate.
        pct_start: share of the run during which it rises, 0 to 1.
        div_factor: the peak divided by the first step's rate.
        final_div_factor: the first step's rate divided by the last step's.
    """
    first = peak / div_factor
    return _cycle(step, total_steps, pct_start, (first, peak, first / final_div_factor))


def cycled_momentum(step: int, total_steps: int, config: OptimConfig) -> float:
    """Return beta1 (adam and adamw) or the momentum (sgd) of a step, which moves against the learning rate.

    It is that of torch's OneCycleLR, from `max_momentum` to `base_momentum` and back.

    Args:
        step: 0 to total_steps - 1.
        total_steps: steps of the whole schedule.
        config: its value at both ends of the schedule, and at the peak of the learning rate.
    """
    end = config.momentum if config.name == "sgd" else config.beta1
    if not config.momentum_at_peak:
        return end
    return _cycle(step, total_steps, config.pct_start, (end, config.momentum_at_peak, end))


def set_step(optimizer: torch.optim.Optimizer, step: int, total_steps: int, config: OptimConfig) -> None:
    """Give an optimizer the learning rate and the momentum of a step.

    Args:
        optimizer: of `build_optimizer`.
        step: of the run, from 0.
        total_steps: steps of the whole schedule.
        config: of the optimizer.
    """
    rate, momentum = scheduled_rate(step, total_steps, config), cycled_momentum(step, total_steps, config)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(SCALE, 1.0)
        if config.name == "sgd":
            group["momentum"] = momentum
        else:
            group["betas"] = (momentum, config.beta2)


def scheduled_rate(step: int, total_steps: int, config: OptimConfig) -> float:
    """Return the learning rate of a step: `one_cycle` with an optimizer's settings."""
    return one_cycle(
        step=step,
        total_steps=total_steps,
        peak=config.lr,
        pct_start=config.pct_start,
        div_factor=config.div_factor,
        final_div_factor=config.final_div_factor,
    )


def _cycle(step: int, total_steps: int, pct_start: float, ends: tuple[float, float, float]) -> float:
    """Return the value of a step: from the first to the second, then to the third, both along half a cosine."""
    top = pct_start * total_steps - 1  # where torch puts the peak; usually between two steps
    if step <= top:
        return _cosine(ends[0], ends[1], step / top if top else 1.0)
    return _cosine(ends[1], ends[2], (step - top) / (total_steps - 1 - top))


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))
