"""What a model says of images, as the explorer shows it: measures, confused pairs, worst classes, pictures to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from in21k.tree.explorer_data import (
    Better,
    ConfusedPair,
    FloatArray,
    IntArray,
    Measure,
    MeasureKind,
    Overlay,
    Picture,
    RankedClasses,
)
from in21k.tree.hierarchy import Hierarchy

MOST_PAIRS = 500
"""Confused pairs of each kind, within a root's subtree and across, that a page holds; and more, for each class:"""
_OF_CLASS = 2
_MOST_RANKED = 100

TOP1 = "top-1 accuracy"
MEASURES: Mapping[str, tuple[str, str, Better]] = {
    "top1": (TOP1, "images whose best guess is the class", Better.HIGH),
    "top5": ("top-5 accuracy", "images with the class among the five best guesses", Better.HIGH),
    "semantic_top1": ("semantic top-1", "levels at which the best guess is the class or the one above it", Better.HIGH),
    "probability": ("probability of the class", "mean of what the model gives the class", Better.HIGH),
    "answer_accuracy": ("accuracy of answers", "images whose answer is the class or one above it", Better.HIGH),
    "specificity": ("specificity of answers", "mean information of the answers: 0 none, 1 a class alone", Better.HIGH),
    "confused_share": (
        "most confused share",
        "images taken for the one class that is guessed most in error",
        Better.LOW,
    ),
}
"""By column of `per_class.parquet`: the measure's name, its help, and which values are good."""
_OF_LEVELS = ("semantic_top1", "answer_accuracy", "specificity")
"""Columns that say something only where classes have others above them."""

_ROUNDS = ((False, 0), (True, 0), (False, 1), (False, 2), (True, 1), (False, 3), (True, 2), (False, 4), (False, 5))
"""What is added to each class in turn, while there is room: whether it is right, and which one, the surest first."""


@dataclass(frozen=True, eq=False)
class ModelAnswers:
    """What a model says of N val images of C classes."""

    title: str
    """Whose answers they are."""
    model: str
    """The name of the network; empty if unknown."""
    images: FloatArray
    """float64 [C]: images of each class."""
    scores: Mapping[str, FloatArray]
    """float64 [C] by column of MEASURES, 0 to 1; NaN where a class has none."""
    classes: IntArray
    """int64 [N]: class indices."""
    guesses: IntArray
    """int64 [N]: class indices of the best guesses."""
    confidences: FloatArray
    """float64 [N]: the probabilities of the best guesses."""


def model_overlay(answers: ModelAnswers, hierarchy: Hierarchy, pictures: Mapping[int, Sequence[Picture]]) -> Overlay:
    """Return what the explorer shows of a model.

    Args:
        answers: of all images.
        hierarchy: of the C classes.
        pictures: of images that `images_to_show` chose, with their guesses, by true class.
    """
    measures = [
        Measure(
            name=name,
            kind=MeasureKind.SHARE,
            values=answers.scores[column],
            help=text,
            better=better,
            weights=answers.images * (hierarchy.levels + 1 if column == "semantic_top1" else 1),  # a pair per level
        )
        for column, (name, text, better) in MEASURES.items()
        if column in answers.scores and (column not in _OF_LEVELS or hierarchy.num_levels > 1)
    ]
    facts = {"network": answers.model} if answers.model else {}
    return Overlay(
        title=answers.title,
        measures=measures,
        facts={**facts, "val images": f"{len(answers.classes):,}"},
        lists=[_worst(answers)],
        pairs=confused_pairs(answers, hierarchy),
        pictures=pictures,
    )


def confused_pairs(answers: ModelAnswers, hierarchy: Hierarchy) -> list[ConfusedPair]:
    """Return the most frequent pairs of a class and a wrong guess: below one root, across roots, and of each class.

    Frequent ones come first; of equal ones, the first by class and guess.
    """
    wrong = answers.classes != answers.guesses
    codes, counts = np.unique(answers.classes[wrong] * len(hierarchy) + answers.guesses[wrong], return_counts=True)
    truths, guesses = np.divmod(codes, len(hierarchy))
    within = hierarchy.ancestors[truths, 0] == hierarchy.ancestors[guesses, 0]
    order = np.argsort(-counts, kind="stable")
    by_class = np.lexsort((np.arange(len(counts)), -counts, truths))
    _, starts = np.unique(truths[by_class], return_index=True)
    places = np.arange(len(by_class)) - np.repeat(starts, np.diff(np.append(starts, len(by_class))))
    first = by_class[places < _OF_CLASS]
    kept = np.unique(np.concatenate([order[within[order]][:MOST_PAIRS], order[~within[order]][:MOST_PAIRS], first]))
    kept = kept[np.lexsort((kept, -counts[kept]))]
    columns = (column[kept].tolist() for column in (truths, guesses, counts))
    return [ConfusedPair(*pair) for pair in zip(*columns, strict=True)]


def images_to_show(answers: ModelAnswers, most: int) -> IntArray:
    """Return int64 [M], at most `most` of the N images: wrong ones and right ones of each class, the surest first.

    Classes with more wrong images come first in each round, so that a small page shows where most goes wrong.
    """
    is_right = answers.classes == answers.guesses
    order = np.lexsort((np.arange(len(is_right)), -answers.confidences, is_right, answers.classes))
    groups = answers.classes[order] * 2 + is_right[order]
    _, starts = np.unique(groups, return_index=True)
    places = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    wrong_of_class = np.bincount(answers.classes[~is_right], minlength=len(answers.images))
    chosen: list[IntArray] = []
    for right, place in _ROUNDS:
        rows = order[(places == place) & (groups % 2 == int(right))]
        chosen.append(rows[np.lexsort((answers.classes[rows], -wrong_of_class[answers.classes[rows]]))])
    return np.concatenate(chosen)[:most]


def _worst(answers: ModelAnswers) -> RankedClasses:
    """Return the classes with the lowest top-1; of equal ones, those with more images first."""
    top1 = answers.scores["top1"]
    there = np.flatnonzero(~np.isnan(top1) & (answers.images > 0))
    ranked = there[np.lexsort((there, -answers.images[there], top1[there]))][:_MOST_RANKED]
    text = "Classes with the lowest top-1 accuracy, those with more images first."
    return RankedClasses(title="Worst classes", help=text, measure=TOP1, classes=ranked.tolist())
