"""What a model says of an image: a path through the hierarchy, and the most probable classes of each level."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from in21k.train.answers.paths import CONFIDENCE, PathFinder
from in21k.train.losses.schemes import MULTI_LABEL
from in21k.train.model.level_order import level_order
from in21k.train.use.trained_model import TrainedModel
from in21k.tree.words import SEPARATOR

SURE = 0.5
"""Probability above which the top class of a level becomes a label of the image, as in the reference's demo."""

_LEVELS = "semantic-"
"""Prefix of the schemes with a softmax per level."""


@dataclass(frozen=True)
class Guess:
    """A class and its probability."""

    wnid: str
    name: str
    path: str
    """The names from the root down to the class: animal > domestic animal > dog."""
    probability: float
    """On a path, of this class or anything below it; else among the classes of its level, among all classes, or (multi
    label) of this class alone."""
    gloss: str | None = None
    """What the class is, in WordNet's words; None where its taxonomy does not say."""


@dataclass(frozen=True, repr=False)
class LevelGuesses:
    """The most probable classes of a level."""

    level: int | None
    """None if one softmax goes over all classes."""
    guesses: tuple[Guess, ...]
    """By descending probability."""

    def __repr__(self) -> str:
        level = "all levels" if self.level is None else f"level {self.level}"
        return f"LevelGuesses({level}: {_shown(self.guesses)})"


@dataclass(frozen=True, repr=False)
class PathGuess:
    """The best path through the hierarchy, and where on it the answer stops."""

    path: tuple[Guess, ...] = ()
    """From a root down, each class below the one before it; empty where the classes have no hierarchy."""
    answer: Guess | None = None
    """The last class on the path that is as probable as the confidence asks; None if not even the root is. Where the
    classes have no hierarchy, the most probable of all, however probable; None if each has a probability of its own."""
    stopped: bool = False
    """Whether the path goes on below the answer."""

    def __repr__(self) -> str:
        answer = self.answer.name if self.answer else None
        return f"PathGuess({_shown(self.path)}; answer {answer!r})"

    @property
    def answered(self) -> tuple[Guess, ...]:
        """The part of the path down to the answer."""
        return self.path[: self.path.index(self.answer) + 1] if self.answer and self.path else ()


@dataclass(frozen=True, repr=False)
class Prediction:
    """A model's prediction for an image, or why the image cannot be read."""

    image: str
    levels: tuple[LevelGuesses, ...] = ()
    labels: tuple[str, ...] = ()
    """Names of each level's most probable class, where its probability is above `SURE`."""
    path: PathGuess = PathGuess()
    error: str = ""

    def __repr__(self) -> str:
        return f"Prediction({self.image}: {self.error or self.headline or 'not sure of any class'})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        if self.error:
            return {"image": self.image, "error": self.error}
        values = asdict(self)
        return {"image": self.image, "levels": values["levels"], "labels": self.labels, **values["path"]}

    @property
    def headline(self) -> str:
        """The answer with all above it, or the labels where there is no path; empty if nothing is probable enough."""
        if not self.path.path:
            unsure = f"{self.path.answer.name}, not sure" if self.path.answer else ""
            return ", ".join(self.labels) or unsure
        names = SEPARATOR.join(guess.name for guess in self.path.answered)
        return f"{names}, not sure which" if names and self.path.stopped else names

    @property
    def beside(self) -> tuple[LevelGuesses, ...]:
        """The levels that say more than the path: all where a level has several guesses, or where there is no path."""
        return self.levels if not self.path.path or any(len(level.guesses) > 1 for level in self.levels) else ()


def _shown(guesses: tuple[Guess, ...]) -> str:
    return ", ".join(f"{guess.name} {guess.probability:.2f}" for guess in guesses)


class Guesser:
    """Turns a model's logits into guesses."""

    def __init__(self, model: TrainedModel, top: int, device: torch.device, *, confidence: float = CONFIDENCE) -> None:
        """Prepare for logits on a device.

        Args:
            model: that they come from.
            top: classes per level; 0 takes one if there are several levels, else five.
            device: of the logits.
            confidence: least probability of the class at which the path's answer stops, 0 to 1.
        """
        self._classes, self._is_independent = model.classes, is_independent(model)
        self._groups = [(level, members.to(device)) for level, members in competing(model)]
        self._count = top or (1 if len(self._groups) > 1 else 5)
        self._paths: dict[int, str] = {}
        hierarchy, self._confidence = model.classes.hierarchy, confidence
        self._order = level_order(hierarchy)
        finder = PathFinder(self._order, model.metadata.config.loss.scheme).to(device)
        self._finder = finder if hierarchy.num_levels > 1 else None

    def guesses(self, logits: Tensor) -> Iterator[tuple[LevelGuesses, ...]]:
        """Return the guesses for each image of a batch, given its logits, float32 [B, C] in class order."""
        return zip(*(self._of_level(logits, level, members) for level, members in self._groups), strict=True)

    def paths(self, logits: Tensor) -> Iterator[PathGuess]:
        """Yield the path for each image of a batch, given its logits, float32 [B, C] in class order."""
        if self._finder is None:
            yield from self._without_path(logits)
            return
        found = self._finder(self._order.to_rows(logits, dim=1))
        depths = found.answered(self._confidence).tolist()
        for rows, shares, depth in zip(found.rows.tolist(), found.probabilities.tolist(), depths, strict=True):
            inside = zip(rows, shares, strict=True)
            path = tuple(self._guess(int(self._order.class_of_row[row]), share) for row, share in inside if row >= 0)
            yield PathGuess(path, path[depth - 1] if depth else None, stopped=depth < len(path))

    def _without_path(self, logits: Tensor) -> Iterator[PathGuess]:
        if self._is_independent:
            yield from (PathGuess() for _ in range(len(logits)))
            return
        best = logits.softmax(1).max(1)
        for index, share in zip(best.indices.tolist(), best.values.tolist(), strict=True):
            yield PathGuess(answer=self._guess(index, share))

    def _of_level(self, logits: Tensor, level: int | None, members: Tensor) -> list[LevelGuesses]:
        scores = logits[:, members]
        probabilities = scores.sigmoid() if self._is_independent else scores.softmax(1)
        best = probabilities.topk(min(self._count, len(members)), dim=1)
        images = zip(members[best.indices].tolist(), best.values.tolist(), strict=True)
        return [LevelGuesses(level, tuple(map(self._guess, indices, shares))) for indices, shares in images]

    def _guess(self, index: int, probability: float) -> Guess:
        path = self._paths.get(index) or self._paths.setdefault(index, SEPARATOR.join(self._classes.path_names(index)))
        wnid, name = self._classes.hierarchy.wnids[index], self._classes.names[index]
        return Guess(wnid, name, path, round(probability, 6), self._classes.gloss(index))


def prediction_of(image: str, levels: tuple[LevelGuesses, ...], path: PathGuess) -> Prediction:
    """Return the prediction for an image of which a model guesses these levels and this path."""
    if len(levels) > 1:
        sure = [level.guesses[0].name for level in levels if level.guesses[0].probability > SURE]
    else:
        sure = [guess.name for guess in levels[0].guesses if guess.probability > SURE]
    return Prediction(image, levels, tuple(sure), path)


def competing(model: TrainedModel) -> list[tuple[int | None, Tensor]]:
    """Return the groups of classes that are predicted together, each as (level, int64 class indices)."""
    hierarchy = model.classes.hierarchy
    by_level = model.metadata.config.loss.scheme.startswith(_LEVELS) or is_independent(model)
    if not by_level or hierarchy.num_levels == 1:
        return [(None, torch.arange(len(hierarchy)))]
    levels = torch.from_numpy(hierarchy.levels.astype(np.int64))
    return [(level, torch.nonzero(levels == level)[:, 0]) for level in np.flatnonzero(hierarchy.active).tolist()]


def is_independent(model: TrainedModel) -> bool:
    """Return whether each class has an independent probability, as in multi label."""
    return model.metadata.config.loss.scheme in MULTI_LABEL
