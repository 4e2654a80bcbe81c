"""Semantic softmax and semantic top-1, one image and one level at a time in float64, from the docs' formula alone."""

import math

import torch

from in21k.tree.hierarchy import Hierarchy


def slow_loss(
    logits: torch.Tensor, labels: list[int], valid: list[bool], hierarchy: Hierarchy, smoothing: float
) -> torch.Tensor:
    """float64 [B, C] logits in class order to a scalar that has a gradient."""
    levels = [len(hierarchy.path(index)) - 1 for index in range(len(hierarchy))]
    total = logits.new_zeros(())
    for level in range(max(levels) + 1):
        classes = [index for index in range(len(hierarchy)) if levels[index] == level]
        if len(classes) < 2:
            continue
        weight = min(20.0, len(levels) / sum(other >= level for other in levels))
        for image, label in enumerate(labels):
            path = hierarchy.path(label)
            if not valid[image] or len(path) <= level:
                continue
            log_probs = logits[image, classes] - torch.logsumexp(logits[image, classes], 0)
            for place, index in enumerate(classes):
                target = smoothing / len(classes) + (1 - smoothing) * (index == path[level])
                total = total - weight * target * log_probs[place] / len(labels)
    return total


def slow_hits(
    logits: torch.Tensor, labels: list[int], valid: list[bool], hierarchy: Hierarchy
) -> dict[int, tuple[int, int]]:
    """Correct guesses and pairs of each level with two classes or more; logits in class order."""
    counts = {}
    for level in range(hierarchy.num_levels):
        classes = [index for index in range(len(hierarchy)) if len(hierarchy.path(index)) - 1 == level]
        if len(classes) < 2:
            continue
        hits = pairs = 0
        for image, label in enumerate(labels):
            path = hierarchy.path(label)
            if valid[image] and len(path) > level:
                best = max(classes, key=lambda index: (float(logits[image, index]), -index))
                hits, pairs = hits + (best == path[level]), pairs + 1
        counts[level] = (hits, pairs)
    return counts


def smoothed_minimum(classes: int, smoothing: float) -> float:
    """The entropy of a smoothed target, which is the minimum of a level's loss."""
    off = smoothing / classes
    on = 1 - smoothing + off
    return -on * math.log(on) - (classes - 1) * (off * math.log(off) if off else 0.0)
