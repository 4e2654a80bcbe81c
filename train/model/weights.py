"""Weights from files, under the names of the model that loads them."""

import argparse
import inspect
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from in21k.shards_manifest.errors import one_line
from in21k.train.errors import TrainError

Weights = dict[str, Tensor]

_PLAIN = ("state_dict", "model")
_EMA = ("state_dict_ema", "model_ema")
_WRAPPERS = ("module.", "_orig_mod.")
_COUNTER = "num_batches_tracked"
"""A buffer of batch norm that some files lack; it has no effect at the usual momentum."""


def host_copies(tensors: Mapping[str, Tensor]) -> Weights:
    """Return copies of tensors on the CPU, contiguous and each with memory of its own; this waits for the device."""
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def read_weights(path: Path, ema: bool = False) -> Weights:
    """Return the tensors of a safetensors file, or of a torch file that can be read without running code.

    A torch file may hold them under `state_dict` or `model`; prefixes of DataParallel and torch.compile are removed.

    Args:
        path: the file.
        ema: return the EMA, under `state_dict_ema` or `model_ema`.

    Raises:
        TrainError: the file is missing or damaged, or holds no tensors by name, or no EMA.
    """
    if not path.is_file():
        raise TrainError(f"{path}: there is no such file")
    loaded = _load(path)
    if ema:
        found = [loaded[name] for name in _EMA if isinstance(loaded.get(name), dict)]
        if not found:
            raise TrainError(f"{path} holds no EMA of the weights ({' or '.join(_EMA)}); leave model.init_ema off")
        loaded = found[0]
    else:
        for name in _PLAIN:
            loaded = loaded[name] if isinstance(loaded.get(name), dict) else loaded
    if not loaded or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise TrainError(f"{path} holds no weights by name")
    return {_unwrapped(name): tensor for name, tensor in loaded.items()}


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # timm stores its arguments beside the weights
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise TrainError(f"{path} cannot be read as weights: {one_line(error)}") from error
    if not isinstance(loaded, dict):
        raise TrainError(f"{path} holds no weights by name")
    return loaded


def _unwrapped(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name


def fit_weights(
    path: Path, weights: Mapping[str, Tensor], module: nn.Module, name: str, head: frozenset[str]
) -> Weights:
    """Return the weights of a file that a model has, under the model's names and in its shapes.

    Names of other releases are converted to timm's and position embeddings resized, as timm does for its downloads.

    Args:
        path: of the file, for messages.
        weights: by name.
        module: the model.
        name: timm's name of it.
        head: names of the parameters with a row per class; they may be missing, or have another length.

    Raises:
        TrainError: a tensor of the model is missing, or has another shape.
    """
    own = module.state_dict()
    body = {key: tensor.shape for key, tensor in own.items() if key not in head and not key.endswith(_COUNTER)}
    if any(key not in weights or weights[key].shape != shape for key, shape in body.items()):
        weights = _renamed(path, weights, module, name)
    if missing := body.keys() - weights.keys():
        raise TrainError(
            f"{path} is not a checkpoint of {name}: {len(missing)} of {len(body)} tensors are missing, "
            f"such as {min(missing)}"
        )
    for key, shape in body.items():
        if weights[key].shape != shape:
            raise TrainError(
                f"{path} does not fit {name}: {key} is {list(weights[key].shape)} in the file "
                f"and {list(shape)} in the model"
            )
    return {key: weights[key] for key in own if key in weights}


def _renamed(path: Path, weights: Mapping[str, Tensor], module: nn.Module, name: str) -> Mapping[str, Tensor]:
    convert = _converter(name)
    if convert is None:
        return weights
    arguments = (dict(weights), module)[: len(inspect.signature(convert).parameters)]
    try:
        converted: Mapping[str, Tensor] = convert(*arguments)
    except Exception as error:  # timm's functions fail in many ways on files of other models
        raise TrainError(f"{path} is not a checkpoint of {name}: {one_line(error)}") from error
    return converted


def _converter(name: str) -> Callable[..., Mapping[str, Tensor]] | None:
    """Return timm's function that renames weights of a model's other releases, None if there is none."""
    entrypoint = timm.models.model_entrypoint(name.partition(".")[0])
    return getattr(sys.modules[entrypoint.__module__], "checkpoint_filter_fn", None)
