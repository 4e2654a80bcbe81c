"""A network's layers by name, and what passes through them: the vectors that stand for images."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from in21k.shards_manifest.command.nearest import did_you_mean
from in21k.train.errors import TrainError
from in21k.train.model.network import Network


@contextmanager
def watched(layer: nn.Module, *, inputs: bool) -> Iterator[list[Any]]:
    """Give a list to which each pass through a layer adds what goes into it, or else what comes out, for the block."""
    seen: list[Any] = []

    def note_input(_: nn.Module, given: tuple[Any, ...]) -> None:
        seen.append(given[0])

    def note_output(_: nn.Module, _given: Any, found: Any) -> None:
        seen.append(found)

    hook = layer.register_forward_pre_hook(note_input) if inputs else layer.register_forward_hook(note_output)
    try:
        yield seen
    finally:
        hook.remove()


def classifier_layer(network: Network) -> nn.Module:
    """Return the layer that computes the logits.

    Raises:
        TrainError: there are several.
    """
    owners = sorted({name.rpartition(".")[0] for name in network.head})
    if len(owners) > 1:
        raise TrainError(f"{network.name} has several classifiers ({', '.join(owners)}); name a layer with --layer")
    return network.module.get_submodule(owners[0])


def find_layer(network: Network, name: str) -> nn.Module:
    """Return the layer of a name in timm's module, such as `layer4.2`.

    Raises:
        TrainError: there is none; the error names the nearest.
    """
    layers: dict[str, nn.Module] = dict(network.module.named_modules())
    if name and name in layers:
        return layers[name]
    names = [each for each in layers if each]
    outermost = ", ".join(each for each in names if "." not in each)
    raise TrainError(
        f"{network.name} has no layer {name!r}; {did_you_mean(name, names, f'its outermost are {outermost}')}"
    )


def pooled(network: Network, values: Any, name: str) -> Tensor:
    """Return a layer's values as vectors, float32 [B, D]: the mean over all positions where there are several.

    Args:
        network: that they come from; it says where an image's channels stand.
        values: [B, D], [B, D, H, W] ([B, H, W, D] in models such as Swin), or tokens [B, N, D].
        name: of the layer, for messages.

    Raises:
        TrainError: they are no tensor, or have other dimensions.
    """
    if not isinstance(values, Tensor) or values.ndim not in (2, 3, 4):
        found = f"{values.ndim} dimensions" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise TrainError(f"the layer {name} of {network.name} gives {found}, of which no vector is made; name another")
    vectors: Tensor = values.float()
    if vectors.ndim == 3:
        return vectors.mean(dim=1)
    if vectors.ndim == 4:
        is_last = getattr(network.module, "output_fmt", "NCHW") == "NHWC"
        return vectors.mean(dim=(1, 2) if is_last else (2, 3))
    return vectors
