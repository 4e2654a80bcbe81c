"""The network that embeds, from a run, from timm or from a file of published weights; no class needs a name."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import Tensor

from in21k.train.config.settings import ModelConfig
from in21k.train.errors import TrainError
from in21k.train.model.architectures import TIMM_PREFIX
from in21k.train.model.fitting import fit_or_name
from in21k.train.model.hub import INSTEAD_OF_TRANSFERRED, Wanted
from in21k.train.model.level_order import flat_order
from in21k.train.model.model_file import load_network, read_metadata
from in21k.train.model.network import Network, build_network, check_name
from in21k.train.model.published import timm_size
from in21k.train.model.weights import read_weights
from in21k.train.run.checkpoint import find_model
from in21k.train.run.resolve import resolve_model


@dataclass(frozen=True, eq=False)
class EmbeddingModel:
    """A network on the CPU, its classes in class order, and how its images are resized."""

    network: Network
    weights_sha256: str
    """Of names, types, shapes and values: the same in every form of file."""
    image_size: int
    """Side of the images in pixels."""
    interpolation: str
    """bicubic or bilinear, as the weights were trained."""


def open_model(checkpoint: str, name: str = "", image_size: int = 0) -> EmbeddingModel:
    """Return the model of a checkpoint.

    Args:
        checkpoint: a run's folder, a checkpoint's, an exported model's, a file of weights, or timm:NAME.
        name: timm's name or the paper's, for a file of weights that are not ours.
        image_size: side of the images in pixels; 0 takes the weights' own.

    Raises:
        DatasetError: there are no such weights, they do not fit, or nothing says the size of their images.
    """
    if checkpoint.startswith(TIMM_PREFIX):
        if name:
            raise TrainError(f"{checkpoint} names the model; leave --model out")
        return _from_timm(checkpoint.removeprefix(TIMM_PREFIX), image_size)
    path = find_model(Path(checkpoint))
    if name:
        return _from_file(path, name, image_size)
    metadata = read_metadata(path)
    size = image_size or metadata.image_size
    return _model(load_network(path, image_size=size), size, metadata.config.data.interpolation)


def wanted_of(checkpoint: str) -> list[Wanted]:
    """Return the weights of timm's that a checkpoint names, which are to be fetched.

    Raises:
        TrainError: there is no such model.
    """
    if not checkpoint.startswith(TIMM_PREFIX):
        return []
    config = resolve_model(ModelConfig(name=checkpoint.removeprefix(TIMM_PREFIX), pretrained=True))
    check_name(config.name)
    return [Wanted(config.name, INSTEAD_OF_TRANSFERRED)]


def _from_timm(name: str, image_size: int) -> EmbeddingModel:
    size = image_size or timm_size(name)
    config = resolve_model(ModelConfig(name=name, pretrained=True))
    _require_size(size, name)
    return _model(build_network(config, flat_order(_outputs(config.name)), size), size, _interpolation(config.name))


def _from_file(path: Path, name: str, image_size: int) -> EmbeddingModel:
    size = image_size or timm_size(name)
    _require_size(size, name)
    config = resolve_model(ModelConfig(name=name, init=str(path)))
    bare = ModelConfig(name=config.name, inputs=config.inputs)
    network, weights = build_network(bare, flat_order(_outputs(config.name)), size), read_weights(path)
    weights = fit_or_name(path, weights, network.module, network.name, network.head)
    lengths = {len(weights[each]) for each in network.head if each in weights}
    if len(lengths) != 1 or not network.head <= weights.keys():
        raise TrainError(f"{path} has no classifier; give weights that include one")
    network = build_network(bare, flat_order(lengths.pop()), size)
    network.load(network.weights() | weights)  # files may lack batch norm's counters
    return _model(network, size, _interpolation(config.name))


def _model(network: Network, size: int, interpolation: str) -> EmbeddingModel:
    return EmbeddingModel(network, weights_digest(network.weights()), size, interpolation)


def _require_size(size: int, name: str) -> None:
    if not size:
        raise TrainError(f"timm does not say how large the images of {name} are; pass --image-size")


def _outputs(name: str) -> int:
    """Return how many classes timm's weights of a name tell apart.

    Raises:
        TrainError: they have no classifier, whose inputs would be the vectors.
    """
    if outputs := timm.models.get_pretrained_cfg_value(name, "num_classes"):
        return int(outputs)
    raise TrainError(f"timm's weights {name} have no classifier; give a model that has one")


def _interpolation(name: str) -> str:
    return "bilinear" if timm.models.get_pretrained_cfg_value(name, "interpolation") == "bilinear" else "bicubic"


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of weights: of their names in order, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
