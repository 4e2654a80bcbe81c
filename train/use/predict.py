"""Predictions of a trained model for images: level by level for models with a hierarchy, as they were trained."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.decode import Pixels
from in21k.shards_manifest.images.faults import ImageError
from in21k.train.device.ranks import join_ranks
from in21k.train.images.decode import fit_into
from in21k.train.images.decode_wild import read_pixels
from in21k.train.losses.schemes import MULTI_LABEL
from in21k.train.model.on_device import prepare_network
from in21k.train.use.class_table import ClassTable
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


def predict(model: TrainedModel, images: Sequence[Path], *, top: int = 0, device: str = "auto") -> Iterator[Prediction]:
    """Yield the prediction for each image file, in order; for a file that cannot be read, it holds an error instead.

    Args:
        model: to run.
        images: files of any common format; they are turned upright and resized to the training images' size.
        top: classes per level; 0 takes one if there are several levels, else five.
        device: auto, cpu or cuda.
    """
    groups = competing(model)
    count = top or (1 if len(groups) > 1 else 5)
    with join_ranks(device) as ranks:
        network = prepare_network(model.network, ranks)
        for path in images:
            try:
                batch = as_batch(read_pixels(path.read_bytes()), model.metadata.image_size)
            except (OSError, ImageError) as error:
                yield Prediction(str(path), error=reason(error))
                continue
            with torch.inference_mode():
                rows = network.module(network.inputs(batch, ranks.device))[0]
                logits = network.order.to_classes(rows.float()).cpu()
            yield _prediction(str(path), logits, groups, model, count)


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


def as_batch(pixels: Pixels, size: int) -> Tensor:
    """Return uint8 [1, 3, size, size], channels last, of an image's pixels, uint8 [H, W, 3], resized."""
    row = np.empty((size, size, 3), np.uint8)
    fit_into(pixels, row, None)
    return torch.from_numpy(row).permute(2, 0, 1)[None]


def reason(error: Exception) -> str:
    """Return why an image cannot be read, without the path that an OSError repeats."""
    return error.strerror or one_line(error) if isinstance(error, OSError) else one_line(error)


def _prediction(
    image: str, logits: Tensor, groups: list[tuple[int | None, Tensor]], model: TrainedModel, count: int
) -> Prediction:
    levels = []
    for level, members in groups:
        scores = logits[members]
        probabilities = scores.sigmoid() if is_independent(model) else scores.softmax(0)
        best = probabilities.topk(min(count, len(members)))
        guesses = zip(members[best.indices].tolist(), best.values.tolist(), strict=True)
        levels.append(LevelGuesses(level, tuple(_guess(model.classes, *guess) for guess in guesses)))
    if len(levels) > 1:
        sure = [level.guesses[0].name for level in levels if level.guesses[0].probability > SURE]
    else:
        sure = [guess.name for guess in levels[0].guesses if guess.probability > SURE]
    return Prediction(image, tuple(levels), tuple(sure))


def _guess(classes: ClassTable, index: int, probability: float) -> Guess:
    path = " > ".join(classes.path_names(index))
    return Guess(classes.hierarchy.wnids[index], classes.names[index], path, round(probability, 6))


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
