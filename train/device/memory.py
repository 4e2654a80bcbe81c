"""How much memory the process has taken at most."""

import resource
import sys

import torch


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that tensors took on a GPU, or that the process took where it computes on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # Linux counts KiB
