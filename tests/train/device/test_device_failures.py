"""What devices refuse: a line that names the way out."""

import pytest
import timm
import torch

from in21k.train.device.backend import check_deterministic
from in21k.train.device.failures import device_errors
from in21k.train.device.ranks import join_ranks
from in21k.train.errors import TrainError

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory.\nTried 1 GiB"), RuntimeError("CUDA error: out of memory")]
)
def test_too_little_gpu_memory_names_accumulation_and_checkpointing(error):
    with (
        pytest.raises(TrainError, match=r"out of GPU memory; .*optim.accumulate=N.*model.grad_checkpointing") as caught,
        join_ranks("cpu"),
    ):
        raise error
    assert "\n" not in str(caught.value)


def test_too_little_memory_for_a_cpu_names_them_too():
    with pytest.raises(MemoryError, match=r"DefaultCPUAllocator.*; .*optim.accumulate=N"), device_errors():
        torch.empty(2**60)


def test_other_errors_keep_their_traceback():
    with pytest.raises(RuntimeError, match=r"a bug"), device_errors():
        raise RuntimeError("a bug")


@pytest.mark.parametrize(("name", "refused"), [("tresnet_m", True), ("resnet18", False), ("mixer_b16_224", False)])
def test_a_model_that_pads_by_reflection_is_not_deterministic_on_a_gpu(name, refused):
    module = timm.create_model(name)
    check_deterministic(module, name, CPU)
    if not refused:
        check_deterministic(module, name, META)
        return
    with pytest.raises(TrainError, match=r"run.deterministic=true cannot be kept: tresnet_m pads by reflection"):
        check_deterministic(module, name, META)
