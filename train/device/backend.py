"""How torch computes: matmul precision, determinism, compilation; and its errors, on one line."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from in21k.shards_manifest.errors import one_line
from in21k.train.config.settings import RunConfig
from in21k.train.errors import TrainError

_COMPILERS = {"cuda": ("CC", ("gcc", "clang", "cc")), "cpu": ("CXX", ("g++", "clang++", "c++"))}
"""For each device, the variable that names the compiler which torch.compile needs, and those it tries by itself."""


def prepare_backend(run: RunConfig, device: torch.device, *, few_shapes: bool = True) -> None:
    """Set torch's global switches: TF32 on a GPU, deterministic algorithms, the search for fast convolutions.

    Args:
        run: the settings.
        device: to compute on.
        few_shapes: whether all batches have one shape, or a few; otherwise each new shape would be another search.
    """
    on_gpu = device.type == "cuda"
    torch.set_float32_matmul_precision(run.matmul_precision if on_gpu else "highest")
    torch.backends.cudnn.allow_tf32 = run.matmul_precision != "highest"
    if run.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
    torch.use_deterministic_algorithms(run.deterministic)
    torch.backends.cudnn.benchmark = on_gpu and few_shapes and not run.deterministic


@contextmanager
def same_bits(run: RunConfig, device: torch.device, threads: int) -> Iterator[None]:
    """Let a network's outputs have the same bits in every process on such a device, within the block.

    No search for fast convolutions, whose answer changes from process to process; and on a CPU, where the order of
    sums depends on the number of threads, as many of them as are asked for. What the process had before comes back.

    Args:
        run: the settings, which set torch's global switches.
        device: to compute on.
        threads: of a CPU.
    """
    prepare_backend(run, device)
    before, cudnn = torch.get_num_threads(), torch.backends.cudnn
    switches = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    if device.type == "cpu":
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = switches
        torch.set_num_threads(before)


def check_deterministic(module: nn.Module, name: str, device: torch.device) -> None:
    """Refuse a module that torch cannot differentiate deterministically on a GPU; a CPU can do that with any.

    Known is padding by reflection, as in TResNet's blur; torch itself names other operations at the first step.

    Args:
        module: the network.
        name: of the model, for the error.
        device: to compute on.

    Raises:
        TrainError: the module pads by reflection.
    """
    if device.type != "cpu" and any(map(_reflects, module.modules())):
        raise TrainError(
            f"run.deterministic=true cannot be kept: {name} pads by reflection, which PyTorch does not differentiate "
            "deterministically on a GPU; leave it off, or use another model"
        )


def _reflects(layer: nn.Module) -> bool:
    padding = (getattr(layer, each, None) for each in ("pad_mode", "padding_mode"))
    return isinstance(layer, (nn.ReflectionPad1d, nn.ReflectionPad2d)) or "reflect" in padding


def compiled(module: nn.Module, device: torch.device, sizes: int = 1) -> nn.Module:
    """Return a compiled version of a module, compiled on its first call; the module itself does not change.

    Args:
        module: to be compiled.
        device: that it computes on.
        sizes: how many image sizes it will see. It is compiled for each of them, at the first batch of that size: code
            for any size, which torch makes from the second size on, is slower.

    Raises:
        TrainError: torch finds no compiler.
    """
    variable, usual = _COMPILERS[device.type]
    names = [os.environ[variable]] if os.environ.get(variable) else usual
    if not any(map(shutil.which, names)):
        raise TrainError(
            f"--compile needs a compiler, and none of {', '.join(names)} is installed; install one, set {variable}, "
            "or leave --compile out"
        )
    if sizes == 1:
        return cast(nn.Module, torch.compile(module))
    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(limit, sizes + 1)
    return cast(nn.Module, torch.compile(module, dynamic=False))


@contextmanager
def backend_errors(run: RunConfig) -> Iterator[None]:
    """Turn errors of compilation, deterministic algorithms and batch norm into errors of one line."""
    try:
        yield
    except RuntimeError as error:
        if run.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise TrainError(f"torch.compile fails: {one_line(error)}; leave --compile out") from error
        if run.deterministic and "deterministic" in str(error):
            raise TrainError(f"{one_line(error)}; set run.deterministic=false, or use another model") from error
        raise
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise TrainError(
            f"batch norm needs more than one image at a time ({one_line(error)}); give a larger --batch-size or a "
            "smaller optim.accumulate"
        ) from error
