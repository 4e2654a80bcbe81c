"""Which device a rank computes on: a CUDA GPU that PyTorch can use, or the CPU."""

import os
import warnings
from pathlib import Path

import torch

from in21k.shards_manifest.errors import one_line
from in21k.train.errors import TrainError

CAPABILITY = (7, 5)
"""The least compute capability of a GPU: PyTorch's builds for CUDA 13 have no code for older ones."""

_DEVICE_FILES = Path("/dev")
"""Where Linux shows the GPUs of this machine or container: nvidia0, nvidia1, …"""


def choose_device(name: str) -> torch.device:
    """Return the device of this rank; a GPU becomes torch's current one.

    Of several GPUs, a rank takes the one of its number on the machine. Where each task sees one GPU alone, as Slurm can
    arrange it, that one is the rank's.

    Args:
        name: auto, cpu or cuda.

    Raises:
        TrainError: the device is unknown or missing, PyTorch cannot use it, or a GPU is there that `auto` cannot use.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise TrainError(f"invalid device {name!r}; give auto, cpu or cuda")
    if name == "cpu" or (name == "auto" and not _is_gpu_here()):
        return torch.device("cpu")
    if reason := _why_unusable():
        raise TrainError(f"there is no CUDA device that PyTorch can use ({reason}); pass --device cpu, or see to that")
    device = torch.device("cuda", _index(torch.cuda.device_count()))
    torch.cuda.set_device(device)
    _check_capability(device)
    return device


def device_name(device: torch.device) -> str:
    """Return what a device is called, with a word on an accelerator that is left idle."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    other = torch.accelerator.current_accelerator(check_available=True)
    idle = other is not None and other.type not in ("cuda", "cpu")
    return f"{device} (in21k does not compute on {other.type})" if other is not None and idle else str(device)


def _is_gpu_here() -> bool:
    """Return whether there is a GPU for this process, whether or not PyTorch can use it."""
    if torch.cuda.is_available():
        return True
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in {"", "-1"}
    return not is_hidden and torch.version.cuda is not None and any(_DEVICE_FILES.glob("nvidia[0-9]*"))


def _why_unusable() -> str:
    """Return why PyTorch can use no GPU; empty if it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of an old driver in several lines
        if torch.cuda.is_available():
            return ""
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError) as error:
            return one_line(error)
    return "torch.cuda.is_available() is false"


def _index(count: int) -> int:
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if rank < count:
        return rank
    if count == 1:
        return 0
    raise TrainError(f"local rank {rank} has no GPU: this machine has {count}; start as many processes")


def _check_capability(device: torch.device) -> None:
    if torch.version.hip is not None:
        return
    found = torch.cuda.get_device_capability(device)
    if found < CAPABILITY:
        name, has, needs = (
            torch.cuda.get_device_name(device),
            *(".".join(map(str, each)) for each in (found, CAPABILITY)),
        )
        raise TrainError(f"{name} has compute capability {has}, and PyTorch needs {needs} or more; pass --device cpu")
