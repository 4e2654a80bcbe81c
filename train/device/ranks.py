"""The ranks of a run, as torchrun starts them, and sums over all of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from in21k.shards_manifest.errors import one_line
from in21k.train.errors import TrainError

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others; the first batch and a slow object store may take minutes."""


@dataclass(frozen=True)
class Ranks:
    """One rank of a run among the others."""

    device: torch.device
    rank: int = 0
    """0 to world_size - 1."""
    world_size: int = 1
    """Number of ranks."""
    local_world_size: int = 1
    """Number of ranks on this machine."""

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes files and shows progress."""
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over all ranks, in place; every rank must call it."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def broadcast(self, tensor: torch.Tensor) -> None:
        """Copy the values of rank 0's tensor into this one; every rank must call it."""
        if self.world_size > 1:
            dist.broadcast(tensor, 0)


def cpu_group(ranks: Ranks) -> Any:
    """Return a group of all ranks for exchanging CPU tensors while the GPUs are busy; None if there is one rank.

    Raises:
        TrainError: the machines cannot reach each other over gloo.
    """
    if ranks.world_size == 1:
        return None
    try:
        return dist.new_group(backend="gloo", timeout=TIMEOUT)
    except (dist.DistError, RuntimeError) as error:
        raise TrainError(
            f"the ranks cannot reach each other over gloo ({one_line(error)}); "
            "set GLOO_SOCKET_IFNAME to the network interface to use"
        ) from error


def was_restarted(ranks: Ranks) -> bool:
    """Return whether torchrun has restarted ranks, on any machine; every rank must call it."""
    return bool(ranks.sum(torch.tensor([_restarts()], dtype=torch.int64, device=ranks.device)))


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0")


def _find_each_other(device: torch.device, world_size: int) -> None:
    store, rank, _ = next(rendezvous("env://", timeout=TIMEOUT))
    if os.environ.get("LOCAL_WORLD_SIZE") == str(world_size):
        # torchrun's store keeps the addresses from before a restart. With several machines, each agent counts restarts
        # for itself, so there it takes TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
        store = PrefixStore(f"restart-{_restarts()}", store)
    options: dict[str, Any] = {"store": store, "rank": rank, "world_size": world_size, "timeout": TIMEOUT}
    if device.type == "cuda":
        dist.init_process_group("nccl", device_id=device, **options)
    else:
        dist.init_process_group("gloo", **options)


@contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Yield this process's rank: the only one, or one of those that torchrun started (nccl on GPUs, gloo on CPUs).

    A rank that fails leaves without waiting for the others; torchrun then ends them.

    Args:
        device: auto, cpu or cuda.

    Raises:
        TrainError: the device is unknown, missing or out of memory, or the ranks cannot connect or lose each other.
        MemoryError: the memory of this machine does not suffice.
    """
    chosen = _device(device)
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        with _device_errors():
            yield Ranks(chosen)
        return
    try:
        _find_each_other(chosen, world_size)
    except (dist.DistError, ValueError, RuntimeError) as error:
        raise TrainError(f"the {world_size} ranks cannot connect to each other: {one_line(error)}") from error
    with _device_errors():
        yield Ranks(chosen, dist.get_rank(), world_size, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    dist.destroy_process_group()


_ON_THE_CPU = "DefaultCPUAllocator"
"""In the RuntimeError of PyTorch where others raise MemoryError."""


@contextmanager
def _device_errors() -> Iterator[None]:
    """Turn errors of devices and process groups into errors of one line."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainError(
            f"out of GPU memory; try a smaller --batch-size or --image-size ({one_line(error)})"
        ) from error
    except RuntimeError as error:
        if _ON_THE_CPU in str(error):
            raise MemoryError(one_line(error)) from error
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise TrainError(f"another rank failed, see its error ({one_line(error)})") from error


def _device(name: str) -> torch.device:
    if name not in {"auto", "cpu", "cuda"}:
        raise TrainError(f"invalid device {name!r}; give auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainError("there is no CUDA device; pass --device cpu, or install a torch build for your GPU's driver")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    index = int(os.environ.get("LOCAL_RANK", "0"))
    if index >= torch.cuda.device_count():
        raise TrainError(f"local rank {index} has no GPU: this machine has {torch.cuda.device_count()}")
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device
