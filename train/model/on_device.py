"""A network on the device that computes it: memory format, synchronized batch norm, precision, gradient exchange."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from in21k.train.config.settings import RunConfig
from in21k.train.device.backend import compiled
from in21k.train.device.precision import autocast, full_precision
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.model.network import Network


def prepare_network(network: Network, ranks: Ranks, *, sync_bn: bool = False) -> Network:
    """Return a network on a rank's device, in the device's memory format; all commands get theirs here.

    Args:
        network: on the CPU; its module moves.
        ranks: this rank among the others.
        sync_bn: let batch norm share its statistics with the other ranks, if there are any.

    Raises:
        TrainError: batch norm is to be synchronized on CPUs.
    """
    module = network.module.to(ranks.device).to(memory_format=network.memory_format(ranks.device))
    if sync_bn and ranks.world_size > 1:
        if ranks.device.type == "cpu":
            raise TrainError("model.sync_bn needs GPUs: PyTorch does not synchronize batch norm on CPUs; leave it off")
        module = with_synchronized_norms(module)
    return replace(network, module=module)


def with_synchronized_norms(module: nn.Module) -> nn.Module:
    """Return a module whose batch norms share their statistics with the other ranks; the parameters are the same.

    timm's converter, because torch's drops the activations that timm's batch norms carry.
    """
    converted: nn.Module = convert_sync_batchnorm(module)
    return converted


def training_module(module: nn.Module, ranks: Ranks, run: RunConfig, sizes: int = 1) -> nn.Module:
    """Return a module as training calls it: it exchanges gradients between the ranks, and is compiled on request.

    Each rank keeps the running statistics of its own batch norms, which training does not use; a val pass and a
    checkpoint take those of the first rank.

    Args:
        module: on the device.
        ranks: this rank among the others.
        run: whether it is compiled.
        sizes: how many image sizes it will see.

    Raises:
        TrainError: torch.compile finds no compiler.
    """
    if ranks.world_size > 1:
        _keep_strides(module)
        devices = None if ranks.device.type == "cpu" else [ranks.device.index]
        exchanging = DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)
        exchanging.broadcast_buffers = False  # as an argument, it would also leave out the broadcast at the start
        module = exchanging
    return compiled(module, ranks.device, sizes) if run.compile else module


def _keep_strides(module: nn.Module) -> None:
    """Let gradients have the strides of their parameters in dimensions of size 1, too, where strides mean nothing.

    Kernels of 1 x 1 convolutions return others, and DistributedDataParallel, which compares all strides, warns of a
    cost that there is not.
    """
    for parameter in module.parameters():
        if parameter.requires_grad and 1 in parameter.shape:
            hook = _with_strides(parameter.shape, parameter.stride())
            parameter.register_hook(hook)  # type: ignore[no-untyped-call]


def _with_strides(shape: torch.Size, strides: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    def restride(gradient: Tensor) -> Tensor:
        """Return the same values; a gradient that really lies otherwise is left as it is."""
        pairs = zip(shape, gradient.stride(), strides, strict=True)
        same = all(own == wanted for size, own, wanted in pairs if size > 1)
        return gradient.as_strided(shape, strides) if same and gradient.stride() != strides else gradient

    return restride


@contextmanager
def evaluating(network: Network, device: torch.device, run: RunConfig) -> Iterator[None]:
    """Put a network into eval mode, and compute it without gradients in mixed precision within the block.

    Its classifier computes in float32: logits of bfloat16 tie, and a tie counts for whichever class comes first.
    """
    layers = [network.module.get_submodule(name) for name in {key.rpartition(".")[0] for key in network.head}]
    network.module.eval()
    with torch.inference_mode(), autocast(device, run.amp, run.amp_dtype):
        for layer in layers:
            layer.forward = _in_float32(layer.forward, device)
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward  # the class's own again


def _in_float32(forward: Callable[[Tensor], Tensor], device: torch.device) -> Callable[[Tensor], Tensor]:
    def exact(features: Tensor) -> Tensor:
        """Compute the logits."""
        with full_precision(device):
            return forward(features.float())

    return exact
