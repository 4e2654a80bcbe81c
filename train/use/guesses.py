"""What a model says of an image: the most probable classes, level by level where it was trained level by level."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from in21k.train.losses.schemes import MULTI_LABEL
from in21k.train.use.trained_model import TrainedModel

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
    """Among the classes of its level, among all classes, or (multi label) of this class alone."""


@dataclass(frozen=True)
class LevelGuesses:
    """The most probable classes of a level."""

    level: int | None
    """None if one softmax goes over all classes."""
    guesses: tuple[Guess, ...]
    """By descending probability."""


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for an image, or why the image cannot be read."""

    image: str
    levels: tuple[LevelGuesses, ...] = ()
    labels: tuple[str, ...] = ()
    """Names of each level's most probable class, where its probability is above `SURE`."""
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"image": self.image, "error": self.error} if self.error else _without(asdict(self), "error")


class Guesser:
    """Turns a model's logits into guesses."""

    def __init__(self, model: TrainedModel, top: int, device: torch.device) -> None:
        """Prepare for logits on a device.

        Args:
            model: that they come from.
            top: classes per level; 0 takes one if there are several levels, else five.
            device: of the logits.
        """
        self._classes, self._is_independent = model.classes, is_independent(model)
        self._groups = [(level, members.to(device)) for level, members in competing(model)]
        self._count = top or (1 if len(self._groups) > 1 else 5)
        self._paths: dict[int, str] = {}

    def guesses(self, logits: Tensor) -> Iterator[tuple[LevelGuesses, ...]]:
        """Return the guesses for each image of a batch, given its logits, float32 [B, C] in class order."""
        return zip(*(self._of_level(logits, level, members) for level, members in self._groups), strict=True)

    def _of_level(self, logits: Tensor, level: int | None, members: Tensor) -> list[LevelGuesses]:
        scores = logits[:, members]
        probabilities = scores.sigmoid() if self._is_independent else scores.softmax(1)
        best = probabilities.topk(min(self._count, len(members)), dim=1)
        images = zip(members[best.indices].tolist(), best.values.tolist(), strict=True)
        return [LevelGuesses(level, tuple(map(self._guess, indices, shares))) for indices, shares in images]

    def _guess(self, index: int, probability: float) -> Guess:
        path = self._paths.get(index) or self._paths.setdefault(index, " > ".join(self._classes.path_names(index)))
        return Guess(self._classes.hierarchy.wnids[index], self._classes.names[index], path, round(probability, 6))


def prediction_of(image: str, levels: tuple[LevelGuesses, ...]) -> Prediction:
    """Return the prediction for an image of which a model guesses these levels."""
    if len(levels) > 1:
        sure = [level.guesses[0].name for level in levels if level.guesses[0].probability > SURE]
    else:
        sure = [guess.name for guess in levels[0].guesses if guess.probability > SURE]
    return Prediction(image, levels, tuple(sure))


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


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
