"""What a training step keeps in memory for its backward pass, for each of the paper's architectures, counted on a CPU.

    python bench/bench_memory.py [--model resnet50] [--image-size 224]

A forward pass of a few images runs under bfloat16 autocast, and each tensor that autograd keeps is counted once, by its
storage. The difference between two batch sizes is what an image costs. Weights, gradients and Adam's moments are added
by arithmetic. A GPU needs more than that: workspaces, and what the allocator cannot use. It is an estimate to choose a
batch size by, not a measurement.
"""

import argparse
from collections.abc import Iterable
from typing import Any

import timm
import torch
from torch import Tensor, nn

import in21k.train.model.ofa  # noqa: F401 - registers ofa_595
from in21k.train.model.architectures import ARCHITECTURES

CLASSES = 11_221
BYTES_PER_PARAMETER = 4 + 4 + 8
"""Of float32 weights, their gradients, and Adam's two moments."""


def main() -> None:
    """Count for each model and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--model", action="append", help="timm's name; repeatable, by default the paper's architectures"
    )
    parser.add_argument("--image-size", type=int, default=224)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'model':24} {'parameters, M':>14} {'MB per image':>13} {'MB besides':>11}")
    for name in options.model or [architecture.timm for architecture in ARCHITECTURES]:
        network = timm.create_model(name, num_classes=CLASSES).to(memory_format=torch.channels_last).train()
        parameters = sum(parameter.numel() for parameter in network.parameters())
        image, rest = costs(network, options.image_size)
        besides = rest + parameters * BYTES_PER_PARAMETER
        print(f"{name:24} {parameters / 1e6:14.1f} {image / 1e6:13.1f} {besides / 1e6:11.0f}", flush=True)


def costs(network: nn.Module, side: int) -> tuple[float, float]:
    """Return the bytes that the backward pass needs for each image, and those that it needs once.

    Args:
        network: in training mode; takes float32 [N, 3, side, side].
        side: of the images, in pixels.
    """
    two, four = (kept_bytes(network, torch.randn(images, 3, side, side)) for images in (2, 4))
    return (four - two) / 2, 2 * two - four


def kept_bytes(network: nn.Module, images: Tensor) -> int:
    """Return the bytes of all storages that autograd keeps of a forward pass, the network's own left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in _tensors(network)}
    kept: dict[int, Tensor] = {}  # the tensors themselves, so that no storage's address is used twice

    def keep(tensor: Any) -> Any:
        if (address := tensor.untyped_storage().data_ptr()) not in own:
            kept.setdefault(address, tensor)
        return tensor

    images = images.to(memory_format=torch.channels_last)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        network(images)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _tensors(network: nn.Module) -> Iterable[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


if __name__ == "__main__":
    main()
