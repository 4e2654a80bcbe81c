"""The ranks of a run, as torchrun starts them, and sums over all of them."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from in21k.shards_manifest.errors import one_line
from in21k.train.device.choice import choose_device
from in21k.train.device.failures import device_errors
from in21k.train.errors import TrainError


@dataclass(frozen=True)
class Timeouts:
    """How long a rank waits for the others before it gives up, in minutes."""

    start: float = 60.0
    """Until all ranks have taken their first step: they download weights, read their first batches, compile."""
    step: float = 10.0
    """From then on."""


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
    timeouts: Timeouts = Timeouts()
    """How long this rank waits for the others."""
    store: Store | None = None
    """Shared by all ranks; None if there is one."""

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


def end_start(ranks: Ranks, group: Any) -> None:
    """Let the ranks wait for one another no longer than between steps; all of them have taken their first step.

    Args:
        ranks: this rank among the others.
        group: what `cpu_group` returned.
    """
    if ranks.world_size > 1:
        for each in (None, group):  # None is the group of all ranks
            dist.set_timeout(timedelta(minutes=ranks.timeouts.step), each)


def cpu_group(ranks: Ranks) -> Any:
    """Return a group of all ranks for exchanging CPU tensors while the GPUs are busy; None if there is one rank.

    Raises:
        TrainError: the machines cannot reach each other over gloo.
    """
    if ranks.world_size == 1:
        return None
    try:
        return dist.new_group(backend="gloo", timeout=timedelta(minutes=ranks.timeouts.start))
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


def _find_each_other(device: torch.device, world_size: int, timeout: timedelta) -> Store:
    """Connect the ranks, and return the store that they share."""
    store: Store
    store, rank, _ = next(rendezvous("env://", timeout=timeout))
    if os.environ.get("LOCAL_WORLD_SIZE") == str(world_size):
        # torchrun's store keeps the addresses from before a restart. With several machines, each agent counts restarts
        # for itself, so there it takes TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
        store = PrefixStore(f"restart-{_restarts()}", store)
    options: dict[str, Any] = {"store": store, "rank": rank, "world_size": world_size, "timeout": timeout}
    if device.type == "cuda":
        if torch.cuda.device_count() == 1 and os.environ.get("LOCAL_WORLD_SIZE") != "1":
            claim_gpu(store, f"{_restarts()}/{socket.gethostname()}/{torch.cuda.get_device_properties(device).uuid}")
        dist.init_process_group("nccl", device_id=device, **options)
    else:
        dist.init_process_group("gloo", **options)
    return store


def claim_gpu(store: Store, gpu: str) -> None:
    """Take a GPU for this rank.

    Args:
        store: shared by all ranks.
        gpu: its name, which no other GPU has.

    Raises:
        TrainError: it is another rank's.
    """
    if store.add(f"gpu/{gpu}", 1) > 1:
        raise TrainError("two ranks share one GPU; start as many processes on a machine as it has GPUs")


@contextmanager
def join_ranks(device: str, timeouts: Timeouts = Timeouts()) -> Iterator[Ranks]:
    """Yield this process's rank: the only one, or one of those that torchrun started (nccl on GPUs, gloo on CPUs).

    A rank that fails leaves without waiting for the others; torchrun then ends them.

    Args:
        device: auto, cpu or cuda.
        timeouts: how long a rank waits for the others.

    Raises:
        TrainError: the device is unknown, missing or out of memory, or the ranks cannot connect or lose each other.
        MemoryError: the memory of this machine does not suffice.
    """
    chosen = choose_device(device)
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        with device_errors():
            yield Ranks(chosen)
        return
    try:
        store = _find_each_other(chosen, world_size, timedelta(minutes=timeouts.start))
    except (dist.DistError, ValueError, RuntimeError) as error:
        raise TrainError(f"the {world_size} ranks cannot connect to each other: {one_line(error)}") from error
    with device_errors():
        yield Ranks(chosen, dist.get_rank(), world_size, int(os.environ.get("LOCAL_WORLD_SIZE", "1")), timeouts, store)
    dist.destroy_process_group()
