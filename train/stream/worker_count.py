"""How many loader processes a rank starts by default: as many as its CPUs and its memory carry."""

import os
from pathlib import Path

from in21k.train.stream.loader import PREFETCH

_CGROUP = Path("/sys/fs/cgroup")
"""What limits a container, in the files of Linux's control groups, version 2 or 1."""

_SHARE = 4
"""One part in so many of the memory is for batches in the making."""

_BATCHES = PREFETCH + 2
"""Batches that a loader process holds in memory, or nearly so."""


def default_workers(local_world_size: int, batch_bytes: int) -> int:
    """Return the default number of loader processes per rank: the CPUs at hand but one, divided among the ranks.

    There are fewer where their batches would take more than a quarter of the memory.

    Args:
        local_world_size: ranks on this machine.
        batch_bytes: of one rank's batch, as uint8.
    """
    cpus = max(0, available_cpus() - 1) // local_world_size
    batches = available_memory() // _SHARE // local_world_size // max(batch_bytes, 1)
    return min(cpus, max(batches // _BATCHES, 1))


def available_cpus() -> int:
    """Return the number of CPUs that this process may use: of its affinity, and no more than a container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = _numbers("cpu.max") or _numbers("cpu/cpu.cfs_quota_us") + _numbers("cpu/cpu.cfs_period_us")
    if len(limits) != 2 or limits[0] <= 0:  # version 1 says -1 where there is no quota
        return cpus
    return min(cpus, max(limits[0] // limits[1], 1))


def available_memory() -> int:
    """Return the bytes of memory of this machine, or of this container where that is less."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = _numbers("memory.max") or _numbers("memory/memory.limit_in_bytes")
    return min(memory, *limits) if limits else memory


def _numbers(name: str) -> tuple[int, ...]:
    """Return the numbers in a file of the control group; none if there is no such file, or no limit."""
    try:
        return tuple(map(int, (_CGROUP / name).read_text(encoding="ascii").split()))
    except (OSError, ValueError):
        return ()
