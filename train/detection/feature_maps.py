"""The feature maps of a timm model, with pretrained weights: what a detector stands on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from in21k.shards_manifest.errors import one_line
from in21k.train.config.settings import ModelConfig
from in21k.train.errors import TrainError
from in21k.train.model.level_order import flat_order
from in21k.train.model.network import build_network, check_name
from in21k.train.model.published import timm_size
from in21k.train.model.stages import freeze_parameters, in_first_stages, keep_in_eval

_TRIED = (64, 96)
"""Height and width of the image on which the maps are tried: a detector's images have any size."""

_PATCH = 16
"""Stride of the plain map of which a pyramid is made."""

_USUAL_SIZE = 224


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """A network that maps normalized images [B, 3, H, W] to a list of maps [B, C, H / stride, W / stride]."""

    module: nn.Module
    strides: tuple[int, ...]
    """Ascending; one alone for a ViT."""
    channels: tuple[int, ...]
    """Of each map."""
    loaded: int = 0
    """Tensors of the module that were taken from pretrained weights."""


def open_feature_maps(config: ModelConfig, strides: Sequence[int]) -> FeatureMaps:
    """Return the feature maps of a timm model, with the initial weights that the settings name.

    Args:
        config: timm's name, its initial weights, and the stages to freeze.
        strides: the strides that are wanted; those that the model has are taken, of a ViT its one map.

    Raises:
        TrainError: the model has no feature maps for images of any size, or the weights do not fit it.
    """
    maps = _maps(config, strides)
    _try_out(config.name, maps)
    if not (config.init or config.pretrained or config.frozen_stages):
        return maps
    # As a classifier first: so weights are read, renamed and checked as they are for fine-tuning.
    whole = build_network(config, flat_order(2), _size(config.name))
    names = _names_in(whole.module, maps.module)
    if config.frozen_stages:
        is_first = in_first_stages(whole, config.frozen_stages)
        freeze_parameters(maps.module, {own: is_first.get(name, False) for own, name in names.items()})
    if not (config.init or config.pretrained):
        return maps
    weights = whole.module.state_dict()
    taken = {own: weights[name] for own, name in names.items()}
    _check_shapes(config, taken, maps.module.state_dict())
    maps.module.load_state_dict(taken)
    return replace(maps, loaded=len(taken))


def freeze_norms(module: nn.Module) -> None:
    """Let the batch norms of a module keep their statistics, scales and shifts, in training as well."""
    for each in module.modules():
        if isinstance(each, _BatchNorm):
            keep_in_eval(each)
            for parameter in each.parameters(recurse=False):
                parameter.requires_grad = False


def _maps(config: ModelConfig, strides: Sequence[int]) -> FeatureMaps:
    check_name(config.name)
    with torch.device("meta"):  # strides, without memory
        found = _create(config).feature_info
    own: list[int] = found.reduction()
    if len(set(own)) < len(own) and set(own) == {_PATCH}:
        module = _create(config, out_indices=(-1,), dynamic_img_size=True, img_size=_size(config.name))
        return FeatureMaps(module, (_PATCH,), tuple(module.feature_info.channels()))
    places = [at for at, stride in enumerate(own) if stride in strides]
    if len(places) < 2 or len(set(own)) < len(own):
        raise TrainError(
            f"{config.name} has feature maps of strides {', '.join(map(str, own))}, and a detector needs several of "
            f"{', '.join(map(str, strides))}, or a ViT with patches of {_PATCH} pixels; give another model"
        )
    module = _create(config, out_indices=tuple(found.out_indices[at] for at in places))
    return FeatureMaps(module, tuple(own[at] for at in places), tuple(module.feature_info.channels()))


def _create(config: ModelConfig, **options: Any) -> Any:
    """Return timm's extractor of a model's feature maps, without weights."""
    if config.drop_path:
        options["drop_path_rate"] = config.drop_path
    try:
        return timm.create_model(config.name, pretrained=False, features_only=True, **options)
    except (RuntimeError, TypeError, AssertionError, AttributeError, ValueError, KeyError) as error:
        raise TrainError(
            f"{config.name} has no feature maps for a detector: {one_line(error)}; give another model"
        ) from error


def _size(name: str) -> int:
    """Return the side of the images for which a model's weights are made, in pixels."""
    return timm_size(name) or _USUAL_SIZE


@torch.no_grad()
def _try_out(name: str, maps: FeatureMaps) -> None:
    """Refuse maps of other shapes than detectors take, such as those of windows of a fixed size."""
    is_training = maps.module.training
    try:
        found = [tuple(each.shape) for each in maps.module.eval()(torch.zeros(1, 3, *_TRIED))]
    except (AssertionError, ValueError, RuntimeError) as error:
        raise TrainError(f"{name} takes no images of any size: {one_line(error)}; give another model") from error
    finally:
        maps.module.train(is_training)
    wanted = [
        (1, channels, *(side // stride for side in _TRIED))
        for stride, channels in zip(maps.strides, maps.channels, strict=True)
    ]
    if found != wanted:
        raise TrainError(f"{name} gives maps of shapes {found}, and a detector needs {wanted}; give another model")


def _names_in(whole: nn.Module, maps: nn.Module) -> dict[str, str]:
    """Return the name in the whole model of each tensor of its extractor, which joins the names of outer modules."""
    joined = {name.replace(".", "_"): name for name, _ in whole.named_modules() if 1 <= name.count(".") + 1 <= 2}
    own, found = whole.state_dict(), {}
    for key in maps.state_dict():
        first, _, rest = key.partition(".")
        candidates = (key, rest, f"{joined.get(first, first)}.{rest}")
        found[key] = next((name for name in candidates if name in own), "")
    if lost := [key for key, name in found.items() if not name]:
        raise TrainError(f"{lost[0]} of the feature maps is in no place of the model that timm has; give another model")
    return found


def _check_shapes(config: ModelConfig, taken: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    for key, tensor in taken.items():
        if tensor.shape != own[key].shape:
            raise TrainError(
                f"{config.init or 'the weights'}: {key} is {list(tensor.shape)} there and {list(own[key].shape)} in "
                f"the feature maps of {config.name}; give the model of these weights"
            )
