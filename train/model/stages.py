"""A network's stages and layers as timm groups them: which parameters belong to each, and how the first ones freeze."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from timm.models import group_parameters
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from in21k.train.errors import TrainError
from in21k.train.model.clips import BACKBONE, ClipModule
from in21k.train.model.network import Network


def groups_of(network: Network, *, coarse: bool) -> dict[str, int]:
    """Return the number of the group of each parameter, from the input, 0, to the classifier, the last one.

    Args:
        network: the network.
        coarse: group by stages (of a ResNet: the stem, four stages, the classifier; of a ViT: the patches, each block,
            the classifier); otherwise by layers, as layer-wise decay has them.

    Raises:
        TrainError: timm does not say it for this model.
    """
    if isinstance(network.module, ClipModule):
        return _groups_of_clips(network, network.module, coarse=coarse)
    matcher: Any = getattr(network.module, "group_matcher", None)
    if matcher is None:
        raise TrainError(
            f"timm does not say which stages {network.name} has; leave model.frozen_stages and optim.layer_decay alone"
        )
    found: dict[str, int] = group_parameters(network.module, matcher(coarse=coarse), reverse=True)
    return found


def _groups_of_clips(network: Network, module: ClipModule, *, coarse: bool) -> dict[str, int]:
    """Return the groups of the backbone, and one more of all that comes after it."""
    names = frozenset(name for name, _ in module.named_parameters())
    found = groups_of(replace(network, module=module.backbone), coarse=coarse)
    groups = {f"{BACKBONE}{name}": number for name, number in found.items()}
    last = max(groups.values()) + 1
    return {name: groups.get(name, last) for name in names}


def freeze_stages(network: Network, count: int) -> None:
    """Freeze the first stages: their parameters get no gradient, and their batch norm keeps its statistics.

    Args:
        network: of which the first rank's and every other's is frozen alike.
        count: stages to freeze; 0 does nothing.

    Raises:
        TrainError: the network has no more than its classifier left, or timm does not say which stages it has.
    """
    if not count:
        return
    is_first = in_first_stages(network, count)
    freeze_parameters(network.module, {name: name not in network.head and own for name, own in is_first.items()})


def in_first_stages(network: Network, count: int) -> dict[str, bool]:
    """Return of each parameter whether it is in one of the first stages.

    Raises:
        TrainError: as `freeze_stages`.
    """
    groups = groups_of(network, coarse=True)
    if count > (before := max(groups.values())):
        raise TrainError(
            f"model.frozen_stages={count} is more than the {before} stages of {network.name} before its classifier"
        )
    return {name: number < count for name, number in groups.items()}


def freeze_parameters(module: nn.Module, is_frozen: Mapping[str, bool]) -> None:
    """Freeze parameters: they get no gradient, and a batch norm that has no others keeps its statistics.

    Args:
        module: that has them.
        is_frozen: by the name of each parameter.
    """
    for name, parameter in module.named_parameters():
        if is_frozen[name]:
            parameter.requires_grad = False
    for each in module.modules():
        own = list(each.parameters(recurse=False))
        if isinstance(each, _BatchNorm) and own and not any(parameter.requires_grad for parameter in own):
            keep_in_eval(each)


def keep_in_eval(module: nn.Module) -> None:
    """Let a module stay in eval mode when the network that it is in is put into training mode."""
    module.eval()
    module.train = lambda mode=True: module  # type: ignore[method-assign] # noqa: ARG005
