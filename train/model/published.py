"""Published models, such as the official weights (paper, 5.1), with classifier rows for a dataset's classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset

from in21k.train.arrays import IntArray
from in21k.train.config.settings import ModelConfig
from in21k.train.errors import TrainError
from in21k.train.model.architectures import find_architecture
from in21k.train.model.fitting import fit_or_name
from in21k.train.model.hub import Wanted
from in21k.train.model.level_order import level_order
from in21k.train.model.network import Network, build_network, check_name, create_module
from in21k.train.model.normalization import AUTO, TIMM, UNIT
from in21k.train.model.weights import Weights, read_weights
from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.hierarchy import Hierarchy


@dataclass(frozen=True)
class PublishedModel:
    """A model with a published classifier."""

    name: str
    """timm's name with the tag of the weights; or the paper's name, for the official weights."""
    weights: Path | None = None
    """A file of weights; None downloads timm's."""
    inputs: str = AUTO
    """Normalization: unit, timm, or auto, which is unit for the official weights and timm for all others."""
    option: str = "--weights"
    """The option of the command at hand that gives the file, for messages."""


def published_settings(model: PublishedModel) -> ModelConfig:
    """Return the settings of a published model: timm's name with the tag of its weights, and the normalization.

    Raises:
        TrainError: timm has no such model; or no file of weights is given, and timm has none.
    """
    architecture = find_architecture(model.name)
    if architecture is None:
        check_name(model.name)
        return ModelConfig(name=model.name, inputs=TIMM if model.inputs == AUTO else model.inputs)
    if model.weights is None and not architecture.authors:
        raise TrainError(
            f"timm has no ImageNet-21K weights of {architecture.name}; pass the authors' file as {model.option} FILE"
        )
    name = architecture.authors or architecture.timm
    return ModelConfig(name=name, inputs=UNIT if model.inputs == AUTO else model.inputs)


def timm_size(name: str) -> int:
    """Return the image size of timm's weights in pixels; 0 if timm does not know it.

    Args:
        name: timm's or the paper's.

    Raises:
        TrainError: timm has no such model.
    """
    architecture = find_architecture(name)
    known = architecture.timm if architecture else name
    check_name(known)
    size = timm.models.get_pretrained_cfg_value(known, "input_size")
    return int(size[-1]) if size else 0


def published_network(config: ModelConfig, file: Path | None, hierarchy: Hierarchy, image_size: int) -> Network:
    """Return a published model that keeps only the classifier rows of a hierarchy's classes.

    Args:
        config: timm's name and the normalization.
        file: of weights; None downloads timm's.
        hierarchy: of the dataset.
        image_size: side of the images in pixels.

    Raises:
        TrainError: the weights cannot be loaded or do not fit, or the classifier lacks classes of the hierarchy.
    """
    network = build_network(config, level_order(hierarchy), image_size)
    weights = _downloaded(config, image_size) if file is None else _from_file(file, network)
    lengths = {len(weights[name]) for name in network.head if name in weights}
    if len(lengths) != 1 or not network.head <= weights.keys():
        raise TrainError(f"{file or config.name} has no classifier; give weights that include one")
    rows = torch.from_numpy(outputs_of(hierarchy.wnids, lengths.pop(), str(file or config.name)))
    chosen = {name: tensor[rows] if name in network.head else tensor for name, tensor in weights.items()}
    network.load(network.weights() | chosen)  # files may lack batch norm's counters
    return network


def wanted_of(model: PublishedModel) -> list[Wanted]:
    """Return the weights of a published model that are to be fetched; none where a file is given.

    Raises:
        TrainError: as `published_settings`.
    """
    name = published_settings(model).name
    return [] if model.weights is not None else [Wanted(name, f"give their file with {model.option} FILE")]


def _downloaded(config: ModelConfig, image_size: int) -> Weights:
    return create_module(replace(config, pretrained=True), None, image_size).state_dict()


def _from_file(file: Path, network: Network) -> Weights:
    return fit_or_name(file, read_weights(file), network.module, network.name, network.head)


def published_classes(outputs: int) -> tuple[str, ...]:
    """Return the wnids of a published classifier with this many outputs, in order.

    Known are both releases of ImageNet-21K-P (the official weights) and the class lists of timm's models: ImageNet-1K,
    timm's 11,821 classes, and all of ImageNet-21K.

    Raises:
        TrainError: no published list has so many classes.
    """
    for release in PublishedList:
        if len(wnids := published_class_list(release)) == outputs:
            return wnids
    subset = infer_imagenet_subset({"num_classes": outputs})
    if subset is None:
        raise TrainError(
            f"a classifier of {outputs:,} outputs matches no published class list, so its classes are unknown"
        )
    return tuple(ImageNetInfo(subset).label_names())


def outputs_of(wnids: Sequence[str], outputs: int, name: str) -> IntArray:
    """Return int64 [C]: for each class of a dataset, its output in a published classifier.

    Args:
        wnids: of the dataset, C in order of class index.
        outputs: number of outputs of the classifier.
        name: of the model, for errors.

    Raises:
        TrainError: the list is unknown, or lacks a class of the dataset.
    """
    index_of = {wnid: number for number, wnid in enumerate(published_classes(outputs))}
    if missing := [wnid for wnid in wnids if wnid not in index_of]:
        raise TrainError(
            f"{len(missing):,} of the dataset's {len(wnids):,} classes are not among the {outputs:,} of {name}, "
            f"such as {missing[0]}"
        )
    return np.array([index_of[wnid] for wnid in wnids], np.int64)
