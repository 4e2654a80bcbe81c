"""The losses of the other schemes, one image at a time in float64, from their formulas alone."""

import math
import operator

import torch

from in21k.train.config.settings import DistillConfig, LossConfig
from in21k.tree.hierarchy import Hierarchy


def slow_single_label(logits, labels: list[int], valid: list[bool], smoothing: float) -> torch.Tensor:
    """float64 [B, C] logits in class order to a scalar that has a gradient."""
    total = logits.sum() * 0
    for image, label in enumerate(labels):
        if valid[image]:
            target = torch.full_like(logits[image], smoothing / logits.shape[1])
            target[label] += 1 - smoothing
            total = total - (target * (logits[image] - torch.logsumexp(logits[image], 0))).sum() / len(labels)
    return total


def slow_multi_label(logits, label_sets: list[set[int]], valid: list[bool], config: LossConfig) -> torch.Tensor:
    """The asymmetric loss, equation 7 of its paper, with p written out."""
    total = logits.sum() * 0
    for image, labels in enumerate(label_sets):
        if not valid[image]:
            continue
        p = 1 / (1 + torch.exp(-logits[image]))
        p_m = torch.clamp(p - config.clip, min=0)
        positive = -((1 - p) ** config.gamma_positive) * torch.log(p)
        negative = -(p_m**config.gamma_negative) * torch.log(1 - p_m)
        is_label = torch.zeros_like(p, dtype=torch.bool)
        is_label[list(labels)] = True
        total = total + torch.where(is_label, positive, negative).sum() / len(label_sets)
    return total


def slow_distillation(student, teacher, valid: list[bool], levels: list[list[int]] | None, config: DistillConfig):
    """The divergence term: over all classes where `levels` is None, else level by level with confidence."""
    total = student.sum() * 0
    for image, is_valid in enumerate(valid):
        if not is_valid:
            continue
        for classes in levels or [list(range(student.shape[1]))]:
            teacher_logits = teacher[image, classes]
            p = torch.softmax(student[image, classes] / config.temperature, 0)
            q = torch.softmax(teacher_logits / config.temperature, 0)
            if config.divergence == "squared":
                divergence = ((p - q) ** 2).sum()
            else:
                divergence = (q * torch.log(q / p)).sum() * config.temperature**2
            if levels is not None:
                best = sorted(torch.softmax(teacher_logits, 0).tolist(), reverse=True)
                divergence = divergence * sum(best[: math.ceil(len(classes) * config.top_share)])
            total = total + config.weight * divergence / len(valid)
    return total


def slow_class_distillation(student, teacher, valid: list[bool], config: DistillConfig) -> torch.Tensor:
    """The divergence term of the multi-label scheme: class by class, "is one" against "is none"."""
    total = student.sum() * 0
    for image, is_valid in enumerate(valid):
        for own, wanted in zip(student[image], teacher[image], strict=True) if is_valid else ():
            p, q = (torch.sigmoid(logit / config.temperature) for logit in (own, wanted))
            if config.divergence == "squared":
                divergence = (p - q) ** 2
            else:
                divergence = q * torch.log(q / p) + (1 - q) * torch.log((1 - q) / (1 - p))
                divergence = divergence * config.temperature**2
            total = total + config.weight * divergence / len(valid)
    return total


def slow_hierarchical(logits, labels: list[int], valid: list[bool], hierarchy: Hierarchy, alpha: float) -> torch.Tensor:
    """Hierarchical cross entropy, equations 1 to 4 of its paper, with each conditional probability written out."""
    total = logits.sum() * 0
    paths = [hierarchy.path(index) for index in range(len(hierarchy))]
    for image, label in enumerate(labels):
        around = [[index for index, path in enumerate(paths) if node in path] for node in paths[label]]
        nested = [list(range(len(paths))), *around, [label]]
        for depth in range(1, len(nested)) if valid[image] else ():
            share = torch.logsumexp(logits[image, nested[depth]], 0) - torch.logsumexp(
                logits[image, nested[depth - 1]], 0
            )
            total = total - math.exp(-alpha * depth) * share / len(labels)
    return total


def slow_soft_labels(logits, labels: list[int], valid: list[bool], hierarchy: Hierarchy, beta: float) -> torch.Tensor:
    """Cross entropy with soft labels, equations 5 and 6 of the same paper."""
    paths = [(None, *hierarchy.path(index)) for index in range(len(hierarchy))]  # None is above all roots

    def distances(label: int) -> list[int]:
        """The height of the lowest common ancestor of a class and each class."""
        shared = [sum(map(operator.eq, path, paths[label])) for path in paths]
        lengths = list(zip(shared, map(len, paths), strict=True))
        heights = {depth: max(length for own, length in lengths if own >= depth) - depth for depth in set(shared)}
        return [0 if index == label else heights[depth] for index, depth in enumerate(shared)]

    total = logits.sum() * 0
    roots = sum(len(path) == 2 for path in paths)
    top = max(max(map(len, paths)) - (1 if roots > 1 else 2), 1)
    for image, label in enumerate(labels):
        target = torch.tensor([math.exp(-beta * each / top) for each in distances(label)], dtype=logits.dtype)
        if valid[image]:
            total = total - (target / target.sum() * torch.log_softmax(logits[image], 0)).sum() / len(labels)
    return total


def active_levels(hierarchy: Hierarchy) -> list[list[int]]:
    """The class indices of each level with two classes or more."""
    depths = [len(hierarchy.path(index)) for index in range(len(hierarchy))]
    levels = [[index for index, own in enumerate(depths) if own == depth] for depth in range(1, max(depths) + 1)]
    return [classes for classes in levels if len(classes) > 1]
