"""Published models, the authors' above all, with their classifiers' rows of a dataset's classes."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from in21k.train.architectures import find_architecture
from in21k.train.class_lists import outputs_of
from in21k.train.config import ModelConfig
from in21k.train.errors import TrainError
from in21k.train.levels import level_order
from in21k.train.model import Network, build_network, create_module
from in21k.train.normalisation import AUTO, TIMM, UNIT
from in21k.train.weights import Weights, fit_weights, read_weights
from in21k.tree.hierarchy import Hierarchy


@dataclass(frozen=True)
class PublishedModel:
    """A model with a published classifier."""

    name: str
    """timm's, with the tag of its weights; or the paper's, for the authors' weights."""
    weights: Path | None = None
    """A file of its weights; None takes those that timm has, a download."""
    inputs: str = AUTO
    """unit, timm, or auto: the authors' models take unit, all others what timm states."""


def published_settings(model: PublishedModel) -> ModelConfig:
    """Return the settings of a published model: timm's name, with the tag of its weights, and the range of its inputs.

    Raises:
        TrainError: its weights are neither named nor timm's.
    """
    architecture = find_architecture(model.name)
    if architecture is None:
        return ModelConfig(name=model.name, inputs=TIMM if model.inputs == AUTO else model.inputs)
    if model.weights is None and not architecture.authors:
        raise TrainError(
            f"timm has no ImageNet-21K weights of {architecture.name}; pass the authors' file as --weights FILE"
        )
    name = architecture.authors or architecture.timm
    return ModelConfig(name=name, inputs=UNIT if model.inputs == AUTO else model.inputs)


def published_network(config: ModelConfig, file: Path | None, hierarchy: Hierarchy, image_size: int) -> Network:
    """Return a published model with the classifier rows of a hierarchy's classes alone.

    Args:
        config: timm's name, and the range of its inputs.
        file: of its weights; None takes timm's.
        hierarchy: of the dataset.
        image_size: side of the images in pixels.

    Raises:
        TrainError: the weights cannot be had or do not fit, or the classifier lacks classes of the hierarchy.
    """
    network = build_network(config, level_order(hierarchy), image_size)
    weights = _downloaded(config, image_size) if file is None else _from_file(file, network)
    lengths = {len(weights[name]) for name in network.head if name in weights}
    if len(lengths) != 1 or not network.head <= weights.keys():
        raise TrainError(f"{file or config.name} has no classifier; name a model's weights with theirs")
    rows = torch.from_numpy(outputs_of(hierarchy.wnids, lengths.pop(), str(file or config.name)))
    chosen = {name: tensor[rows] if name in network.head else tensor for name, tensor in weights.items()}
    network.load(network.weights() | chosen)  # files may lack the counters of batch norm
    return network


def _downloaded(config: ModelConfig, image_size: int) -> Weights:
    return create_module(replace(config, pretrained=True), None, image_size).state_dict()


def _from_file(file: Path, network: Network) -> Weights:
    return fit_weights(file, read_weights(file), network.module, network.name, network.head)
