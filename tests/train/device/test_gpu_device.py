"""What only a GPU shows of a rank's device: its name, its memory's limit and formats, its precision, its timeouts."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import nn

from in21k.train.config.settings import ModelConfig, RunConfig
from in21k.train.device.choice import choose_device
from in21k.train.device.header import header_lines
from in21k.train.device.ranks import Ranks, Timeouts, cpu_group, end_start, join_ranks
from in21k.train.errors import TrainError
from in21k.train.model.level_order import flat_order
from in21k.train.model.network import Network, build_network
from in21k.train.model.on_device import evaluating, prepare_network

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def network_on_gpu(**config) -> Network:
    torch.manual_seed(0)
    network = build_network(ModelConfig("test_resnet", **config), flat_order(1000), 32)
    return prepare_network(network, Ranks(torch.device("cuda", 0)))


def test_the_start_names_the_card():
    line, _ = header_lines(Ranks(choose_device("auto")), RunConfig(workers=1, amp_dtype="float16"), {})
    assert line == f"device     cuda:0 ({torch.cuda.get_device_name(0)}), in float16"


def test_too_little_memory_names_accumulation_and_checkpointing():
    with (
        pytest.raises(TrainError, match=r"out of GPU memory; .*optim.accumulate=N.*model.grad_checkpointing") as caught,
        join_ranks("cuda") as ranks,
    ):
        torch.empty(1 << 50, dtype=torch.uint8, device=ranks.device)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("channels_last", [True, False])
def test_weights_and_images_have_the_memory_format_that_was_asked_for(channels_last):
    network, device = network_on_gpu(channels_last=channels_last), torch.device("cuda", 0)
    loaded = torch.zeros(2, 3, 32, 32, dtype=torch.uint8).to(memory_format=torch.channels_last)
    images = network.inputs(loaded.to(device, non_blocking=True), device)
    expected = torch.channels_last if channels_last else torch.contiguous_format
    kernels = [each for each in network.module.parameters() if each.ndim == 4 and min(each.shape[1:3]) > 1]
    assert kernels
    assert all(each.is_contiguous(memory_format=expected) for each in (images, *kernels))
    assert network.module(images).isfinite().all()


def test_in_evaluation_the_classifier_computes_in_float32_and_not_in_tf32():
    network, device = network_on_gpu(), torch.device("cuda", 0)
    head = network.module.get_classifier()
    assert isinstance(head, nn.Linear)
    seen: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with evaluating(network, device, RunConfig(amp_dtype="float16")):
            logits = network.module(torch.rand(64, 3, 32, 32, device=device))
    finally:
        torch.set_float32_matmul_precision(before)
        hook.remove()
    assert logits.dtype == torch.float32
    exact = nn.functional.linear(seen[0].double(), head.weight.detach().double(), head.bias.detach().double())
    torch.testing.assert_close(logits.double(), exact, rtol=1e-5, atol=1e-5)


def test_the_timeouts_of_nccl_and_gloo_are_set_apart_for_the_start():
    device, hour = choose_device("cuda"), timedelta(hours=1)
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1, timeout=hour, device_id=device)
    try:
        ranks = Ranks(device, 0, 2, 2, Timeouts(60, 7))  # as one of two: alone, it would have nothing to set
        group = cpu_group(ranks)
        backends = [dist.group.WORLD._get_backend(device), group._get_backend(torch.device("cpu"))]
        assert [each.options._timeout for each in backends] == [hour, hour]
        end_start(ranks, group)
        assert [each.options._timeout for each in backends] == [timedelta(minutes=7)] * 2
    finally:
        dist.destroy_process_group()
