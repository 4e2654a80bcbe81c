"""Specificity against accuracy as the confidence goes from 0 to 1 ("Hedging Your Bets", Deng et al. 2012)."""

import math
from dataclasses import dataclass

import numpy as np

from in21k.train.arrays import FloatArray
from in21k.train.evaluation.report.answers import Answers
from in21k.tree.hierarchy import Hierarchy

CONFIDENCES = tuple(step / 100 for step in range(101))


@dataclass(frozen=True)
class AnswerPoint:
    """The answers at one confidence."""

    confidence: float
    accuracy: float
    """Share of the images whose answer is their class or above it; no answer is right, as the node above all roots."""
    specificity: float
    """Mean information of the answers, 0 to 1: 1 of a class without children, 0 of no answer (`information`)."""
    depth: float
    """Mean number of classes in an answer, from the root down."""
    precision: float | None
    """Hierarchical precision, 0 to 1; None if nothing is answered."""
    recall: float
    f1: float
    stopped: tuple[float, ...]
    """Share of the images without an answer, and of those whose answer is at each of the L levels."""


def information(hierarchy: Hierarchy) -> FloatArray:
    """Return float64 [C + 1]: how much an answer says, as a share of what the most specific one does; last, no answer.

    It is the logarithm of how many times fewer classes there are in its subtree than in all.
    """
    sizes = hierarchy.subtree_sums(np.ones(len(hierarchy), np.int64))
    most = math.log(max(len(hierarchy), 2))
    found: FloatArray = 1 - np.log(np.append(sizes, len(hierarchy))) / most
    return found


def answer_curve(answers: Answers) -> list[AnswerPoint]:
    """Return the points of the curve, by ascending confidence."""
    informations = information(answers.hierarchy)
    return [_point(answers, confidence, informations) for confidence in CONFIDENCES]


def _point(answers: Answers, confidence: float, informations: FloatArray) -> AnswerPoint:
    depths, images = answers.depths(confidence), len(answers)
    both = int(np.minimum(depths, answers.agreed).sum())
    answered, shown = int(depths.sum()), int((answers.own >= 0).sum())
    places = np.where(depths > 0, answers.paths[np.arange(images), np.maximum(depths - 1, 0)], -1)
    counts = np.bincount(places + 1, minlength=len(informations))  # by class, so that no order of images counts
    stopped = np.bincount(depths, minlength=answers.hierarchy.num_levels + 1)
    return AnswerPoint(
        confidence=confidence,
        accuracy=int((depths <= answers.agreed).sum()) / images,
        specificity=float(np.roll(counts, -1) @ informations) / images,
        depth=answered / images,
        precision=both / answered if answered else None,
        recall=both / shown,
        f1=2 * both / (answered + shown),
        stopped=tuple((stopped / images).tolist()),
    )
