"""Probabilities and paths over the hierarchy, one class at a time, from their definitions alone."""

import math

from in21k.tree.hierarchy import ROOT, Hierarchy


def subtree(hierarchy: Hierarchy, index: int) -> list[int]:
    """A class and all classes below it."""
    return [each for each in range(len(hierarchy)) if index in hierarchy.path(each)]


def children(hierarchy: Hierarchy, index: int) -> list[int]:
    """The classes right below a class, or the roots for ROOT."""
    return [each for each in range(len(hierarchy)) if hierarchy.parents[each] == index]


def slow_probabilities(hierarchy: Hierarchy, logits: list[float], scheme: str) -> list[float]:
    """The probability of each class or anything below it."""
    if scheme == "single-label":
        shares = [math.exp(logit - max(logits)) for logit in logits]
        return [sum(shares[each] for each in subtree(hierarchy, index)) / sum(shares) for index in range(len(logits))]
    found = []
    for index in range(len(logits)):
        factors = []
        for node in hierarchy.path(index):
            siblings = children(hierarchy, hierarchy.parents[node])
            share = math.exp(logits[node]) / sum(math.exp(logits[each]) for each in siblings)
            factors.append(1 / (1 + math.exp(-logits[node])) if scheme == "multi-label" else share)
        found.append(min(factors) if scheme == "multi-label" else math.prod(factors))
    return found


def slow_path(hierarchy: Hierarchy, logits: list[float], scheme: str) -> list[int]:
    """The classes of the best path."""
    probabilities = slow_probabilities(hierarchy, logits, scheme)
    total = sum(math.exp(logit) for logit in logits)
    path: list[int] = []
    while below := children(hierarchy, path[-1] if path else ROOT):
        best = max(below, key=lambda index: probabilities[index])
        if scheme == "single-label" and path and math.exp(logits[path[-1]]) / total > probabilities[best]:
            break
        path.append(best)
    return path
