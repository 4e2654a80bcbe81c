"""The first check: that PyTorch can use the device; it says what the others run on."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version

import torch
from bench_losses import processor

from gpu.check import Outcome
from gpu.setup import Setup
from in21k.train.device.choice import choose_device

PACKAGES = ("torchvision", "timm")
GPUS = "gpus"
"""The fact that says how many GPUs there are."""


def describe(setup: Setup) -> Outcome:
    """Compute something on the device, and return the names and versions of the machine as facts."""
    device = choose_device(setup.device)
    assert torch.ones(64, 64, device=device).matmul(torch.ones(64, 64, device=device)).sum().item() == 64**3
    found: dict[str, str | int] = dict(_gpu() if setup.on_gpu else {})
    found |= {
        "CPU": f"{processor()} ({len(os.sched_getaffinity(0))} CPUs)",
        "Python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version(name) for name in PACKAGES},
    }
    note = ", ".join(f"{name} {value}" for name, value in found.items())
    return Outcome(note, facts={"names": found, GPUS: torch.cuda.device_count() if setup.on_gpu else 0})


def _gpu() -> dict[str, str]:
    first = torch.cuda.get_device_properties(0)
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    count = f"{len(names)} × " if len(names) > 1 else ""
    return {
        "GPU": f"{count}{', '.join(sorted(set(names)))}",
        "compute capability": f"{first.major}.{first.minor}",
        "GPU memory": f"{first.total_memory / 2**30:.1f} GiB",
        "driver": _driver(),
        "CUDA": str(torch.version.cuda),
        "cuDNN": str(torch.backends.cudnn.version()),
        "NCCL": ".".join(map(str, torch.cuda.nccl.version())),  # type: ignore[no-untyped-call]
    }


def _driver() -> str:
    """Return the driver's version, as NVIDIA's tool states it."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return "unknown (no nvidia-smi)"
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.partition("\n")[0].strip() or "unknown"
