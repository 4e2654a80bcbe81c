"""A network: a timm model with its classifier rows in level order, and its weights read and written in class order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from in21k.shards_manifest.command.nearest import nearest
from in21k.shards_manifest.errors import one_line
from in21k.train.config.settings import ModelConfig
from in21k.train.errors import TrainError
from in21k.train.model import ofa as ofa  # registers OFA-595 with timm
from in21k.train.model.fitting import fit_or_name
from in21k.train.model.hub import Wanted, fetch
from in21k.train.model.level_order import LevelOrder
from in21k.train.model.normalization import Normalization, normalization_of
from in21k.train.model.timm_names import no_model
from in21k.train.model.weights import Weights, read_weights


@dataclass(frozen=True, eq=False)
class Network:
    """A timm model in memory, with a classifier in level order.

    Logits are `network.module(network.inputs(images, device))`.
    """

    name: str
    """timm's."""
    module: nn.Module
    """Maps what `inputs` returns, [B, 3, H, W], to logits [B, C] in level order."""
    head: frozenset[str]
    """Names of the parameters with a row per class."""
    order: LevelOrder
    normalization: Normalization
    """Of the module's inputs."""
    channels_last: bool = True
    """Whether images and weights are in channels-last memory format on a GPU."""
    frames: int = 0
    """T: the module takes clips of T frames, [B T, 3, H, W] for logits [B, C]; 0 where it takes images."""

    def memory_format(self, device: torch.device) -> torch.memory_format:
        """Return the memory format of images and weights on a device; on a CPU they keep their own."""
        if device.type == "cpu":
            return torch.preserve_format
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def inputs(self, images: Tensor, device: torch.device) -> Tensor:
        """Return images, uint8 [B, 3, H, W], as the module's inputs: normalized, float32, on the device."""
        moved = images.to(device, non_blocking=True).to(memory_format=self.memory_format(device))
        return self.normalization.inputs(moved, device)

    def weights(self) -> Weights:
        """Return weights and buffers by name, classes in class order."""
        return {name: self.to_classes(name, tensor.detach()) for name, tensor in self.module.state_dict().items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load what `weights` returned.

        Raises:
            RuntimeError: names or shapes do not match.
        """
        self.module.load_state_dict({name: self.to_rows(name, tensor) for name, tensor in weights.items()})

    def to_classes(self, name: str, tensor: Tensor) -> Tensor:
        """Return the values of a parameter, or of its optimizer state, with classes in class order."""
        return self.order.to_classes(tensor) if name in self.head and tensor.ndim else tensor

    def to_rows(self, name: str, tensor: Tensor) -> Tensor:
        """Return the values of a parameter, or of its optimizer state, with classes in level order."""
        return self.order.to_rows(tensor) if name in self.head and tensor.ndim else tensor


def build_network(config: ModelConfig, order: LevelOrder, image_size: int) -> Network:
    """Return a new network with a classifier for the classes of a level order.

    Args:
        config: timm's name, normalization and initial weights.
        order: the level order of its classes.
        image_size: side of the images in pixels, for architectures that fix it.

    Raises:
        TrainError: timm has no such model, its weights cannot be loaded, it has no classifier, or it does not take
            images of this size.
    """
    classes = len(order)
    module = create_module(config, classes, image_size)
    if config.pretrained and config.new_head:
        module.reset_classifier(classes)  # type: ignore[operator]
    head = _head_parameters(module, config.name, classes)
    network = Network(
        name=config.name,
        module=module,
        head=head,
        order=order,
        normalization=normalization_of(config.name, config.inputs),
        channels_last=config.channels_last,
    )
    _try_out(network, image_size)
    if config.pretrained:
        network.load(module.state_dict())  # timm fills a classifier of the right size in class order
    if config.init:
        load_initial(network, config)
    if config.grad_checkpointing:
        _checkpoint_activations(network)
    return network


def create_module(config: ModelConfig, classes: int | None, image_size: int) -> nn.Module:
    """Return one of timm's models.

    Args:
        config: timm's name, whether to load timm's weights, and stochastic depth.
        classes: outputs of the classifier; None keeps that of timm's weights.
        image_size: side of the images in pixels, for architectures that fix it.

    Raises:
        TrainError: timm has no such model, cannot build it, or cannot load its weights.
    """
    check_name(config.name)
    if config.pretrained:
        fetch(Wanted(config.name))
    options: dict[str, object] = {"drop_path_rate": config.drop_path} if config.drop_path else {}
    if classes is not None:
        options["num_classes"] = classes
    if timm.models.get_pretrained_cfg_value(config.name, "fixed_input_size"):
        options["img_size"] = image_size
    try:
        module: nn.Module = timm.create_model(config.name, pretrained=config.pretrained, **options)
    except Exception as error:
        if config.pretrained:
            raise TrainError(
                f"timm's weights for {config.name} cannot be loaded: {one_line(error)}; try a file of weights"
            ) from error
        raise TrainError(f"timm cannot build {config.name} at {image_size} pixels: {one_line(error)}") from error
    return module


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        TrainError: timm has no such model, or no weights of that tag.
    """
    if not timm.is_model(name):
        raise no_model(name, timm.list_models())
    try:
        timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        tags = timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
        raise TrainError(f"timm has no weights {name!r}; {_tag_hint(name, tags)}") from error


def _tag_hint(name: str, tags: Sequence[str]) -> str:
    """Return which of a model's weights may have been meant; where none is like it, how many there are, and one."""
    architecture, _, tag = name.partition(".")
    near = nearest(tag, (each.partition(".")[2] for each in tags))
    if near:
        return f"did you mean {' or '.join(f'{architecture}.{each}' for each in near)}?"
    return f"it has {len(tags)}, such as {tags[0]}" if tags else "it has none"


def require_sizes(network: Network, sizes: Sequence[int]) -> None:
    """Refuse image sizes that change if the network does not take each of them, as one of fixed patches.

    Args:
        network: on the CPU.
        sizes: sides of the images in pixels; one alone was tried when the network was built.

    Raises:
        TrainError: it does not take one of them.
    """
    for size in sizes if len(sizes) > 1 else ():
        _try_out(network, size, "give one image size, or a model whose input may have any")


@torch.no_grad()  # in inference mode, what a model caches on its first call could not be differentiated later
def _try_out(network: Network, image_size: int, hint: str = "give another size") -> None:
    """Refuse an image size that the network does not take, by passing one black image through it."""
    images = torch.zeros(network.frames or 1, 3, image_size, image_size, dtype=torch.uint8)
    is_training = network.module.training
    try:
        network.module.eval()(network.inputs(images, torch.device("cpu")))
    except (AssertionError, ValueError, RuntimeError) as error:
        raise TrainError(
            f"{network.name} does not take images of {image_size} × {image_size} pixels: {one_line(error)}; {hint}"
        ) from error
    finally:
        network.module.train(is_training)


def _checkpoint_activations(network: Network) -> None:
    """Turn on activation checkpointing, which keeps few activations and recomputes the others in the backward pass."""
    try:
        switch: Any = network.module.set_grad_checkpointing
        switch(True)
    except (AttributeError, AssertionError, NotImplementedError) as error:
        raise TrainError(
            f"timm has no activation checkpointing for {network.name}; leave model.grad_checkpointing off"
        ) from error


def _head_parameters(module: nn.Module, name: str, classes: int) -> frozenset[str]:
    getter: Any = getattr(module, "get_classifier", None)
    classifier = getter() if getter else None
    heads = classifier if isinstance(classifier, (tuple, list)) else (classifier,)
    inside = {id(parameter) for head in heads if isinstance(head, nn.Module) for parameter in head.parameters()}
    found = frozenset(
        key for key, value in module.named_parameters() if id(value) in inside and value.ndim and len(value) == classes
    )
    if not found:
        raise TrainError(f"{name} has no classifier of {classes} outputs to train")
    return found


def load_initial(network: Network, config: ModelConfig) -> None:
    """Load a file's weights, without its classifier if that has another size or a new head is asked for.

    Raises:
        TrainError: the file cannot be read, or is of another model.
    """
    own, path = network.module.state_dict(), Path(config.init)
    fitting = fit_or_name(path, read_weights(path, config.init_ema), network.module, network.name, network.head)
    left_out = network.head if config.new_head else frozenset()
    taken = {k: tensor for k, tensor in fitting.items() if tensor.shape == own[k].shape and k not in left_out}
    network.module.load_state_dict({key: network.to_rows(key, tensor) for key, tensor in taken.items()}, strict=False)
