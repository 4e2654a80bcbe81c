"""Errors of devices and of the process group, on one line with a way out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from in21k.shards_manifest.errors import one_line
from in21k.train.errors import TrainError

_LESS_MEMORY = (
    "split each rank's batch with optim.accumulate=N, recompute activations with "
    "model.grad_checkpointing=true, or take a smaller --batch-size or --image-size"
)
_ON_THE_CPU = "DefaultCPUAllocator"
"""In the RuntimeError of PyTorch where others raise MemoryError."""

_GLOOS_WORDS = ("gloo", "Connection closed by peer", "Connection reset by peer", "caused pair closure")
"""In the RuntimeErrors of gloo, which name its source file or not."""


@contextmanager
def device_errors() -> Iterator[None]:
    """Turn errors of devices and process groups into errors of one line.

    Raises:
        TrainError: the GPU's memory does not suffice, or another rank failed.
        MemoryError: the memory of this machine does not suffice.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "CUDA error: out of memory" in str(error):
            raise TrainError(f"out of GPU memory; {_LESS_MEMORY} ({one_line(error)})") from error
        if _ON_THE_CPU in str(error):
            raise MemoryError(f"{one_line(error)}; {_LESS_MEMORY}") from error
        if not is_lost_peer(error):
            raise
        raise TrainError(lost_peer(error)) from error


def is_lost_peer(error: BaseException) -> bool:
    """Return whether an error says that another rank is gone, or keeps this one waiting."""
    return isinstance(error, dist.DistError) or any(words in str(error) for words in _GLOOS_WORDS)


def lost_peer(error: BaseException) -> str:
    """Return what to tell the user of a rank that is gone."""
    return f"another rank failed, see its error ({one_line(error)})"
