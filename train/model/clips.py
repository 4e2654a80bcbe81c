"""A network for clips: the backbone's features of each frame, made one vector, and a linear classifier of it.

As in "An Image is Worth 16x16 Words, What is a Video Worth?" (arXiv 2103.13915).
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from in21k.shards_manifest.errors import one_line
from in21k.train.config.settings import ModelConfig, VideoConfig
from in21k.train.errors import TrainError
from in21k.train.model.level_order import LevelOrder
from in21k.train.model.network import Network, build_network, load_initial
from in21k.train.model.weights import read_weights
from in21k.train.video.clips import Clips

_STD = 0.02
"""Of the initial weights, from a normal distribution cut off at two of them; the authors'."""

BACKBONE = "backbone."
"""What the names of the backbone's parameters begin with."""


class ClipModule(nn.Module):
    """Maps the frames of B clips, [B T, 3, H, W], to logits, [B, C]."""

    def __init__(self, backbone: nn.Module, aggregate: nn.Module, classifier: nn.Linear, frames: int) -> None:
        """Put a network together.

        Args:
            backbone: maps images [N, 3, H, W] to features [N, D].
            aggregate: maps features [B, T, D] to [B, D].
            classifier: of C classes.
            frames: T, of each clip.
        """
        super().__init__()
        self.backbone, self.aggregate, self.classifier = backbone, aggregate, classifier
        self.frames = frames

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits [B, C] of frames [B T, 3, H, W]."""
        features = self.backbone(frames).flatten(1)
        logits: Tensor = self.classifier(self.aggregate(features.unflatten(0, (-1, self.frames))))
        return logits

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters without weight decay, besides biases and norms."""
        named: Callable[[], Any] = getattr(self.backbone, "no_weight_decay", tuple)
        own = ("aggregate.class_token", "aggregate.positions")
        return {*own, *(f"{BACKBONE}{name}" for name in named())}


class MeanOfFrames(nn.Module):
    """The mean of the frames' features."""

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, D] of [B, T, D]."""
        return features.mean(1)


class FrameTransformer(nn.Module):
    """A transformer encoder over the frames' features and a class token, whose output counts."""

    def __init__(self, size: int, video: VideoConfig) -> None:
        """Draw the initial weights.

        Args:
            size: D, features of a frame.
            video: frames, layers and heads.
        """
        super().__init__()
        layer = nn.TransformerEncoderLayer(size, video.heads, batch_first=True)
        norm = nn.LayerNorm(size)
        self.encoder = nn.TransformerEncoder(layer, video.layers, norm, enable_nested_tensor=False)
        self.class_token = nn.Parameter(torch.empty(1, 1, size))
        self.positions = nn.Parameter(torch.empty(1, video.frames + 1, size))
        for parameter in (self.class_token, self.positions):
            nn.init.trunc_normal_(parameter, std=_STD, a=-2 * _STD, b=2 * _STD)
        self.apply(_draw_linear)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, D] of [B, T, D]."""
        tokens = torch.cat((self.class_token.expand(len(features), -1, -1), features), 1)
        encoded: Tensor = self.encoder(tokens + self.positions)
        return encoded[:, 0]


def build_for(video: VideoConfig, config: ModelConfig, order: LevelOrder, image_size: int) -> Network:
    """Return a new network for clips, or for images where there are none.

    Initial weights are those of a network for images, for the backbone, or of one for clips, without its classifier.

    Args:
        video: frames of a clip, 0 for images, and what makes one vector of them.
        config: as for `build_network`, likewise the other arguments.
        order: the level order of its classes.
        image_size: side of the images, or frames, in pixels.

    Raises:
        TrainError: as `build_network`; or the model gives no features, or not as many as the heads divide.
    """
    if not video.frames:
        return build_network(config, order, image_size)
    goes_on = bool(config.init) and _is_of_clips(config)
    backbone = build_network(replace(config, init="") if goes_on else config, order, image_size)
    network = _for_clips(backbone, video, image_size)
    if goes_on:
        load_initial(network, config)
    return network


def of_videos(logits: Tensor, clips: Clips | None) -> Tensor:
    """Return logits [B, C] as they are; of N clips of each video, [B N, C], the logarithm of their mean probability."""
    if clips is None or clips.count == 1:
        return logits
    by_clip = logits.float().log_softmax(1).view(-1, clips.count, logits.shape[1])
    return torch.logsumexp(by_clip, 1) - math.log(clips.count)


def _is_of_clips(config: ModelConfig) -> bool:
    """Return whether the file of initial weights is one of a network for clips, by the names in it."""
    names = read_weights(Path(config.init), config.init_ema)
    return "classifier.weight" in names and any(name.startswith(BACKBONE) for name in names)


def _for_clips(network: Network, video: VideoConfig, image_size: int) -> Network:
    """Return a network for clips, whose backbone is a network for images without its classifier.

    Args:
        network: on the CPU; its module becomes part of the new one.
        video: frames, and what makes one vector of them.
        image_size: side of the frames in pixels.

    Raises:
        TrainError: the backbone gives no features, or not as many as the heads divide.
    """
    backbone, classes = network.module, len(network.order)
    size = _without_classifier(backbone, network, image_size)
    if video.aggregate == "transformer" and size % video.heads:
        raise TrainError(
            f"{network.name} has {size} features of a frame, which video.heads={video.heads} does not divide; give "
            "another number"
        )
    aggregate = FrameTransformer(size, video) if video.aggregate == "transformer" else MeanOfFrames()
    classifier = nn.Linear(size, classes)
    _draw_linear(classifier)
    module = ClipModule(backbone, aggregate, classifier, video.frames)
    head = frozenset({"classifier.weight", "classifier.bias"})
    return replace(network, module=module, head=head, frames=video.frames)


@torch.no_grad()
def _without_classifier(backbone: nn.Module, network: Network, image_size: int) -> int:
    """Take away a backbone's classifier, and return how many features an image has."""
    reset: Any = getattr(backbone, "reset_classifier", None)
    is_training = backbone.training
    images = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
    try:
        reset(0)
        features = backbone.eval()(network.inputs(images, torch.device("cpu"))).flatten(1)
    except (TypeError, AttributeError, AssertionError, ValueError, RuntimeError) as error:
        raise TrainError(f"{network.name} gives no features without its classifier: {one_line(error)}") from error
    finally:
        backbone.train(is_training)
    return int(features.shape[1])


def _draw_linear(module: nn.Module) -> None:
    """Draw the weights of a linear layer as the authors do: cut-off normal ones, and zeros as biases."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=_STD, a=-2 * _STD, b=2 * _STD)
        nn.init.zeros_(module.bias)
