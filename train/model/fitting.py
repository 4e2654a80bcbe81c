"""Which of the paper's architectures the weights of a file belong to."""

from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from in21k.train.errors import TrainError
from in21k.train.model import ofa as ofa  # registers OFA-595 with timm
from in21k.train.model.architectures import ARCHITECTURES, Architecture
from in21k.train.model.weights import Weights, fit_weights, read_weights


def fit_or_name(
    path: Path, weights: Mapping[str, Tensor], module: nn.Module, name: str, head: frozenset[str]
) -> Weights:
    """Return what `fit_weights` returns; where it fails, the message names the architecture of the paper that fits.

    Raises:
        TrainError: a tensor of the model is missing, or has another shape.
    """
    try:
        return fit_weights(path, weights, module, name, head)
    except TrainError as error:
        candidates = dict.fromkeys(each for architecture in ARCHITECTURES for each in _names(architecture))
        fitting = next((each for each in candidates if each != name and _fits(weights, each)), None)
        if fitting is None:
            raise
        raise TrainError(f"{error}; it is one of {fitting}, which --model takes by name") from error


def name_for_weights(architecture: Architecture, path: Path, *, ema: bool = False) -> str:
    """Return timm's name of the form of an architecture that a file's weights have.

    The authors' ViT-B/16 has no biases of queries, keys and values, and timm has it under a name of its own.

    Args:
        architecture: the paper's.
        path: of the file.
        ema: whether the EMA in the file is meant.

    Raises:
        TrainError: the file cannot be read as weights.
    """
    names = _names(architecture)
    if len(names) == 1:
        return names[0]
    weights = read_weights(path, ema)
    return next((name for name in names if _fits(weights, name)), architecture.timm)


def _names(architecture: Architecture) -> list[str]:
    """Return timm's names of an architecture, without tags: its own, and that of the authors' weights."""
    return list(dict.fromkeys((architecture.timm, architecture.authors.partition(".")[0] or architecture.timm)))


def _fits(weights: Mapping[str, Tensor], name: str) -> bool:
    with torch.device("meta"):  # names and shapes, without memory
        module = timm.create_model(name)
    classifier = module.default_cfg["classifier"]
    head = frozenset(key for key in module.state_dict() if key.startswith(f"{classifier}."))
    try:
        fit_weights(Path(), weights, module, name, head)
    except TrainError:
        return False
    return True
