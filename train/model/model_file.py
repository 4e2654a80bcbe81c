"""A file of weights with what it is in its metadata: written, read, and made a network again."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.config.overrides import config_from_dict
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError
from in21k.train.model.level_order import LevelOrder
from in21k.train.model.network import Network, build_network
from in21k.train.model.weights import Weights

MODEL = "model.safetensors"


@dataclass(frozen=True)
class ModelMetadata:
    """What a file of weights is, kept in its own metadata."""

    model: str
    """timm's name."""
    num_classes: int
    image_size: int
    """Side of the images that it was trained on, in pixels."""
    class_list_sha256: str
    """Of the wnids in order of class index."""
    step: int
    """Steps that it was trained for."""
    config: Config
    """Of the run that trained it."""


def save_model(path: Path, card: ModelMetadata, weights: Weights) -> None:
    """Write a file of weights alone, whole or not at all.

    Raises:
        DatasetError: the disk is full or refuses the write.
    """
    with atomic_path(path) as temporary:
        save_file(on_cpu(weights), temporary, safetensors_metadata(card))


def load_tensors(path: Path) -> Weights:
    """Return the tensors of a safetensors file.

    Raises:
        TrainError: it is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error


def read_metadata(path: Path) -> ModelMetadata:
    """Return what a file of weights says of itself.

    Raises:
        TrainError: it is damaged, or no checkpoint of in21k.
    """
    try:
        with safe_open(path, "pt") as file:
            stored = file.metadata() or {}
        numbers = {key: int(stored[key]) for key in ("num_classes", "image_size", "step")}
        texts = {key: stored[key] for key in ("model", "class_list_sha256")}
        config = config_from_dict(json.loads(stored["config"]))
    except (OSError, SafetensorError, ValueError, AttributeError) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
    except KeyError as error:
        raise TrainError(f"{path} is no checkpoint of in21k: its metadata has no {error}") from error
    return ModelMetadata(**numbers, **texts, config=config)  # type: ignore[arg-type]


def check_classes(path: Path, card: ModelMetadata, classes: int, class_list_sha256: str) -> None:
    """Refuse a checkpoint whose classes are not the dataset's.

    Raises:
        TrainError: the number of classes or the class list differs.
    """
    if card.num_classes != classes:
        raise TrainError(
            f"{path} has {card.num_classes} classes, the dataset {classes}; name the dataset that it was trained on"
        )
    if card.class_list_sha256 != class_list_sha256:
        raise TrainError(
            f"{path} has other {classes} classes than the dataset (class list {card.class_list_sha256[:12]}, "
            f"the dataset's {class_list_sha256[:12]})"
        )


def safetensors_metadata(card: ModelMetadata) -> dict[str, str]:
    """Return the metadata of a safetensors file, texts by name."""
    values = asdict(card)
    config = json.dumps(values.pop("config"))
    return {"format": "pt", **{key: str(value) for key, value in values.items()}, "config": config}


def on_cpu(tensors: Weights) -> Weights:
    """Return contiguous copies of tensors in host memory, as safetensors wants them."""
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def load_network(path: Path, card: ModelMetadata, order: LevelOrder, image_size: int) -> Network:
    """Return the network of a file of weights, on the CPU.

    Args:
        path: the file.
        card: what it says of itself.
        order: the level order of its classes.
        image_size: side of the images in pixels, for models that fix theirs.

    Raises:
        TrainError: the weights are not the model's that the card names, or not of this image size.
    """
    network = build_network(replace(card.config.model, pretrained=False, init=""), order, image_size)
    try:
        network.load(load_tensors(path))
    except RuntimeError as error:
        raise TrainError(
            f"{path} does not fit timm's {card.model} at {image_size} pixels: {one_line(error)}"
        ) from error
    return network
