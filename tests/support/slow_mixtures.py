"""The hard-label losses of mixtures with their mixed targets written out, one image at a time in float64."""

import torch
from slow_losses import active_levels, slow_hierarchical, slow_soft_labels

from in21k.train.config.settings import LossConfig
from in21k.train.losses.schemes import MULTI_LABEL
from in21k.tree.hierarchy import Hierarchy

Mixture = list[tuple[int, float]]
"""(class index, its share) of each image in a mixture."""


def slow_mixtures(
    logits: torch.Tensor, mixtures: list[Mixture], valid: list[bool], hierarchy: Hierarchy, config: LossConfig
) -> torch.Tensor:
    """float64 [B, C] logits in class order to a scalar that has a gradient."""
    total = logits.sum() * 0
    for row, mixture, is_valid in zip(logits, mixtures, valid, strict=True):
        if not is_valid:
            continue
        if config.scheme in MULTI_LABEL:
            total = total + _asymmetric(row, _multi_hot(mixture, hierarchy), config)
        elif config.scheme.startswith("semantic"):
            for classes in active_levels(hierarchy):
                below = sum(len(hierarchy.path(index)) >= _depth(classes[0], hierarchy) for index in range(len(row)))
                weight = min(20.0, len(row) / below)
                total = total + weight * _cross_entropy(row, mixture, classes, hierarchy, config)
        elif config.scheme == "hierarchical-cross-entropy":
            for index, share in mixture:
                total = total + share * slow_hierarchical(row[None], [index], [True], hierarchy, config.alpha)
        elif config.scheme == "soft-labels":
            for index, share in mixture:
                total = total + share * slow_soft_labels(row[None], [index], [True], hierarchy, config.beta)
        else:
            flat = [[(index, share)] for index, share in mixture]
            total = total + sum(_smoothed(row, list(range(len(row))), each, config) for each in flat)
    return total / len(valid)


def _depth(index: int, hierarchy: Hierarchy) -> int:
    return len(hierarchy.path(index))


def _cross_entropy(row, mixture: Mixture, classes: list[int], hierarchy: Hierarchy, config: LossConfig):
    """One level's: only the images that have an ancestor there are part of its target."""
    depth = _depth(classes[0], hierarchy)
    paths = [(hierarchy.path(index), share) for index, share in mixture]
    return _smoothed(row, classes, [(path[depth - 1], share) for path, share in paths if len(path) >= depth], config)


def _smoothed(row, classes: list[int], target: Mixture, config: LossConfig):
    """Cross entropy against one vector: what is spread over the classes, and what is not."""
    wanted = torch.zeros_like(row[classes])
    for index, share in target:
        wanted += share * config.label_smoothing / len(classes)
        wanted[classes.index(index)] += share * (1 - config.label_smoothing)
    return -(wanted * torch.log_softmax(row[classes], 0)).sum()


def _multi_hot(mixture: Mixture, hierarchy: Hierarchy) -> torch.Tensor:
    wanted = torch.zeros(len(hierarchy), dtype=torch.float64)
    for index, share in mixture:
        wanted[list(hierarchy.path(index))] += share
    return wanted


def _asymmetric(row, wanted, config: LossConfig):
    """The asymmetric loss with targets between 0 and 1, in which it is linear."""
    p = torch.sigmoid(row)
    p_m = torch.clamp(p - config.clip, min=0)
    positive = -((1 - p) ** config.gamma_positive) * torch.log(p)
    negative = -(p_m**config.gamma_negative) * torch.log(1 - p_m)
    return (wanted * positive + (1 - wanted) * negative).sum()
