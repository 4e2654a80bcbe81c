"""The parameter groups of an optimizer: which parameters decay, and which have a learning rate of their own."""

from typing import Any

from timm.optim import param_groups_weight_decay

from in21k.train.config.settings import OptimConfig
from in21k.train.model.network import Network
from in21k.train.model.stages import groups_of

SCALE = "lr_scale"
"""What a group's learning rate is multiplied by; groups without it have 1."""


def parameter_groups(network: Network, config: OptimConfig) -> list[dict[str, Any]]:
    """Return the groups of a network's parameters that are trained.

    Biases, norms and what the model names get no weight decay. With layer-wise decay d, the layer k before the last has
    a learning rate of d^k; the classifier has its own factor besides.

    Raises:
        TrainError: layer-wise decay is on, and timm does not say which layers the model has.
    """
    named: Any = getattr(network.module, "no_weight_decay", tuple)
    groups = param_groups_weight_decay(network.module, config.weight_decay, no_weight_decay_list=named())
    if config.layer_decay == 1 and config.head_lr == 1:
        return list(groups)
    scales = _scales(network, config)
    names = {id(parameter): name for name, parameter in network.module.named_parameters()}
    split: dict[tuple[float, float], dict[str, Any]] = {}
    for group in groups:
        for parameter in group["params"]:
            decay, scale = group["weight_decay"], scales[names[id(parameter)]]
            empty = {"params": [], "weight_decay": decay, SCALE: scale}
            split.setdefault((decay, scale), empty)["params"].append(parameter)
    return list(split.values())


def _scales(network: Network, config: OptimConfig) -> dict[str, float]:
    """Return the factor of each parameter's learning rate."""
    names = [name for name, _ in network.module.named_parameters()]
    layers = groups_of(network, coarse=False) if config.layer_decay != 1 else dict.fromkeys(names, 0)
    last = max(layers.values())
    head = dict.fromkeys(network.head, config.head_lr)
    return {name: config.layer_decay ** (last - layers[name]) * head.get(name, 1.0) for name in names}
