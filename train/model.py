"""The network: a timm model whose classifier's rows are in level order, and its weights in and out in class order."""

import difflib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from in21k.train.config import ModelConfig
from in21k.train.errors import TrainError, one_line
from in21k.train.levels import LevelOrder

Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Network:
    """A model in memory, and which of its parameters have a row a class."""

    module: nn.Module
    """Images [B, 3, H, W] of 0 to 1 to logits [B, C] in level order."""
    head: frozenset[str]
    """Names of the parameters whose first axis goes over classes."""
    order: LevelOrder

    def weights(self) -> Weights:
        """Return the model's weights and buffers by name, classes in class order."""
        return {name: self.to_classes(name, tensor.detach()) for name, tensor in self.module.state_dict().items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights and buffers as `weights` gave them.

        Raises:
            RuntimeError: names or shapes are another model's.
        """
        self.module.load_state_dict({name: self.to_rows(name, tensor) for name, tensor in weights.items()})

    def to_classes(self, name: str, tensor: Tensor) -> Tensor:
        """Return a parameter's values, or an optimizer's of its shape, with classes in class order."""
        return self.order.to_classes(tensor) if name in self.head and tensor.ndim else tensor

    def to_rows(self, name: str, tensor: Tensor) -> Tensor:
        """Return a parameter's values, or an optimizer's of its shape, with classes in level order."""
        return self.order.to_rows(tensor) if name in self.head and tensor.ndim else tensor


def build_network(config: ModelConfig, order: LevelOrder, image_size: int) -> Network:
    """Return a new network with a classifier of as many classes as the order has.

    Args:
        config: its name, and the weights to begin with.
        order: the level order of its classes.
        image_size: side of the images in pixels, for models that fix theirs.

    Raises:
        TrainError: timm has no such model, its weights cannot be had, or it has no classifier.
    """
    module = _create(config, len(order.class_of_row), image_size)
    network = Network(module, _head_parameters(module, config.name, len(order.class_of_row)), order)
    if config.init:
        _init_from(network, Path(config.init), new_head=config.new_head)
    return network


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        TrainError: it is none of a model.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), 5, 0.5)
        hint = f"; close to it: {', '.join(close)}" if close else "; timm.list_models() lists all"
        raise TrainError(f"timm has no model {name!r}{hint}")


def _create(config: ModelConfig, classes: int, image_size: int) -> nn.Module:
    check_name(config.name)
    options: dict[str, object] = {"drop_path_rate": config.drop_path} if config.drop_path else {}
    if timm.models.get_pretrained_cfg_value(config.name, "fixed_input_size"):
        options["img_size"] = image_size
    try:
        module: nn.Module = timm.create_model(config.name, pretrained=config.pretrained, num_classes=classes, **options)
    except Exception as error:
        if config.pretrained:
            raise TrainError(
                f"timm's weights for {config.name} cannot be had: {one_line(error)}; try --init FILE"
            ) from error
        raise TrainError(f"timm cannot build {config.name} at {image_size} pixels: {one_line(error)}") from error
    return module


def _head_parameters(module: nn.Module, name: str, classes: int) -> frozenset[str]:
    getter: Any = getattr(module, "get_classifier", None)
    classifier = getter() if getter else None
    heads = classifier if isinstance(classifier, (tuple, list)) else (classifier,)
    inside = {id(parameter) for head in heads if isinstance(head, nn.Module) for parameter in head.parameters()}
    found = frozenset(
        key for key, value in module.named_parameters() if id(value) in inside and value.ndim and len(value) == classes
    )
    if not found:
        raise TrainError(f"{name} has no classifier of {classes} outputs that can be trained on classes")
    return found


def _init_from(network: Network, path: Path, *, new_head: bool) -> None:
    """Take a file's weights; a classifier of another size is left as it is, and any where the head is to be new."""
    weights = read_weights(path)
    own = network.module.state_dict()
    taken = {
        name: tensor
        for name, tensor in weights.items()
        if name in own and (name not in network.head or (tensor.shape == own[name].shape and not new_head))
    }
    body = own.keys() - network.head
    if missing := body - taken.keys():
        raise TrainError(
            f"{path} is no checkpoint of this model: {len(missing)} of {len(body)} tensors are missing, "
            f"such as {min(missing)}"
        )
    try:
        network.module.load_state_dict(
            {name: network.to_rows(name, tensor) for name, tensor in taken.items()}, strict=False
        )
    except RuntimeError as error:
        raise TrainError(f"{path} is no checkpoint of this model: {one_line(error)}") from error


def read_weights(path: Path) -> Weights:
    """Return the tensors of a safetensors file, or of a torch file that holds nothing but tensors.

    Raises:
        TrainError: it is missing or damaged, or holds other things than tensors.
    """
    if not path.is_file():
        raise TrainError(f"{path}: there is no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise TrainError(f"{path} cannot be read as weights: {one_line(error)}") from error
    for name in ("state_dict", "model"):
        loaded = loaded[name] if isinstance(loaded, dict) and isinstance(loaded.get(name), dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise TrainError(f"{path} holds no weights by name")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}
