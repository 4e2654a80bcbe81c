"""Nearest neighbors, their votes and Holidays' score by brute force: one pair at a time, in whole numbers."""

import math
from collections.abc import Sequence

import numpy as np


def whole_units(values: np.ndarray) -> list[list[int]]:
    """Vectors [N, D] at length 1, as whole multiples of 2^-24, as Python's integers."""
    exact = np.asarray(values, np.float64)
    lengths = np.sqrt((exact**2).sum(1, keepdims=True))
    units = np.divide(exact, lengths, out=np.zeros_like(exact), where=lengths > 0)
    return [[int(each) for each in row] for row in np.rint(units * 2**24).tolist()]


def whole_similarities(queries: np.ndarray, gallery: np.ndarray) -> list[list[int]]:
    """Cosines [Q, N] in units of 2^-48, exact however large they are."""
    others = whole_units(gallery)
    return [[sum(a * b for a, b in zip(own, each, strict=True)) for each in others] for own in whole_units(queries)]


def slow_order(scores: Sequence[int]) -> list[int]:
    """All numbers of a gallery, the nearest first; of equally near ones, the lower number."""
    return sorted(range(len(scores)), key=lambda number: (-scores[number], number))


def slow_shares(scores: Sequence[int], k: int, sets: Sequence[Sequence[int]], classes: int, temperature: float):
    """The share of each class in the votes of the K nearest: float64 [C]. Sets list classes, -2 - class if absent."""
    present, known = [0.0] * classes, [0.0] * classes
    knows_all = all(label > -2 for labels in sets for label in labels)
    best = max(scores)
    for number in slow_order(scores)[:k]:
        weight = math.exp((scores[number] / 2**48 - best / 2**48) / temperature)
        for label in range(classes):
            present[label] += weight * (label in sets[number])
            known[label] += weight * (knows_all or label in sets[number] or -2 - label in sets[number])
    return [own / every if every else 0.0 for own, every in zip(present, known, strict=True)]


def holidays_average_precision(ranks: Sequence[int], relevant: int) -> float:
    """The score of INRIA's evaluation package for Holidays: trapezoids between the precisions around each hit."""
    area = 0.0
    for found, rank in enumerate(ranks):
        left = 1.0 if rank == 0 else found / float(rank)
        right = (found + 1) / float(rank + 1)
        area += (right + left) * (1.0 / relevant) / 2.0
    return area


def slow_ranks(scores: Sequence[int], query: int, gallery: Sequence[int], relevant: set[int]) -> list[int]:
    """The ranks of the relevant images among the gallery's, from 0, as Holidays counts: the query has no rank."""
    ranked = sorted((image for image in gallery if image != query), key=lambda image: (-scores[image], image))
    return [rank for rank, image in enumerate(ranked) if image in relevant and image != query]
