"""The errors of each subtree: how many of its images are answered within it, and where the others go."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from in21k.train.arrays import IntArray
from in21k.train.evaluation.report.answers import Answers
from in21k.tree.hierarchy import ROOT


@dataclass(frozen=True)
class SubtreeErrors:
    """The answers for the images whose class is an inner class or below it."""

    class_index: int
    level: int
    images: int
    within: float
    """Share whose answer is the class or below it."""
    above: float
    """Share whose answer is above the class, or that have none."""
    outside: float
    """Share whose answer is anywhere else."""
    goes_to: int | None
    """The class, of the same level where an answer goes down that far, that most answers outside are or are below."""
    goes_to_share: float | None
    """Its share of the images."""
    precision: float | None
    """Hierarchical precision of these images, 0 to 1; None if nothing is answered."""
    recall: float
    f1: float


def subtree_errors(answers: Answers, confidence: float) -> Iterator[SubtreeErrors]:
    """Yield the errors of each inner class that has images, by level, then by class index.

    Args:
        answers: of all images.
        confidence: at which the answers stop.
    """
    depths = answers.depths(confidence)
    inner = np.array([bool(below) for below in answers.hierarchy.children])
    for level in range(answers.hierarchy.num_levels - 1):
        classes = answers.own[:, level]
        order = np.argsort(classes, kind="stable")
        found, starts = np.unique(classes[order], return_index=True)
        for index, images in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
            if index != ROOT and inner[index]:
                yield _errors(answers, depths, images, index, level)


def _errors(answers: Answers, depths: IntArray, images: IntArray, index: int, level: int) -> SubtreeErrors:
    """Return the errors of a class at a level, given the numbers of its images."""
    depth, agreed, count = depths[images], answers.agreed[images], len(images)
    within = (depth > level) & (agreed > level)
    above = (depth <= level) & (depth <= agreed)
    outside = ~(within | above)
    reached = np.minimum(depth, level + 1) - 1
    goes_to, most = _most_frequent(answers.paths[images, reached][outside])
    both, answered = int(np.minimum(depth, agreed).sum()), int(depth.sum())
    shown = int((answers.own[images] != ROOT).sum())
    return SubtreeErrors(
        class_index=index,
        level=level,
        images=count,
        within=int(within.sum()) / count,
        above=int(above.sum()) / count,
        outside=int(outside.sum()) / count,
        goes_to=goes_to,
        goes_to_share=most / count if most else None,
        precision=both / answered if answered else None,
        recall=both / shown,
        f1=2 * both / (answered + shown),
    )


def _most_frequent(classes: IntArray) -> tuple[int | None, int]:
    """Return the most frequent class, the first by class index of equals, and how often it occurs."""
    if not len(classes):
        return None, 0
    counts = np.bincount(classes)
    best = int(counts.argmax())
    return best, int(counts[best])
