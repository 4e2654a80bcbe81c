"""A network on a device: memory format, synchronized batch norm, the precision of evaluation.

The meta device has no values and stands for a GPU, whose memory formats it has.
"""

from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.testing._internal.distributed.fake_pg import FakeStore

from in21k.train.config.settings import ModelConfig, RunConfig
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.model.architectures import ARCHITECTURES
from in21k.train.model.level_order import flat_order
from in21k.train.model.network import Network, build_network, create_module
from in21k.train.model.on_device import evaluating, prepare_network, training_module, with_synchronized_norms

CPU, META = torch.device("cpu"), torch.device("meta")
BFLOAT16 = RunConfig(amp_dtype="bfloat16")


def network_of(classes=10, **config) -> Network:
    torch.manual_seed(0)
    return build_network(ModelConfig("test_resnet", **config), flat_order(classes), 32)


def randomize(module: nn.Module) -> nn.Module:
    """Give every batch norm statistics and parameters of its own."""
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -1, 1)
    return module.eval()


@pytest.mark.parametrize("name", [each.timm for each in ARCHITECTURES if "16" not in each.timm])
def test_synchronized_batch_norm_keeps_the_activations_of_the_papers_models(name):
    module = randomize(create_module(ModelConfig(name), 10, 64))
    parameters, images = dict(module.named_parameters()), torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = module(images)
        converted = with_synchronized_norms(module)
        assert torch.equal(converted(images), expected)
    kinds = {type(each) for each in converted.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)}
    assert all(issubclass(kind, nn.SyncBatchNorm) for kind in kinds)
    assert kinds
    assert all(parameters[key] is parameter for key, parameter in converted.named_parameters())


def test_batch_norm_is_not_synchronized_on_cpus():
    with pytest.raises(TrainError, match=r"model.sync_bn needs GPUs"):
        prepare_network(network_of(), Ranks(CPU, 0, 2), sync_bn=True)
    alone = prepare_network(network_of(), Ranks(CPU), sync_bn=True)
    assert not any(isinstance(each, nn.SyncBatchNorm) for each in alone.module.modules())
    several = prepare_network(network_of(), Ranks(META, 0, 2), sync_bn=True)
    assert any(isinstance(each, nn.SyncBatchNorm) for each in several.module.modules())


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_memory_format_reaches_weights_and_images_alike(channels_last):
    network = prepare_network(network_of(channels_last=channels_last), Ranks(META))
    loaded = torch.zeros(2, 3, 32, 32, dtype=torch.uint8).to(
        memory_format=torch.channels_last
    )  # as the loader makes it
    expected = torch.channels_last if channels_last else torch.contiguous_format
    assert network.inputs(loaded, META).is_contiguous(memory_format=expected)
    kernels = [each for each in network.module.parameters() if each.ndim == 4 and min(each.shape[1:3]) > 1]
    assert kernels
    assert all(each.is_contiguous(memory_format=expected) for each in kernels)


def test_on_a_cpu_images_and_weights_stay_as_they_are():
    network = network_of()
    strides = [each.stride() for each in network.module.parameters()]
    placed = prepare_network(network, Ranks(CPU))
    assert [each.stride() for each in placed.module.parameters()] == strides
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8).to(memory_format=torch.channels_last)
    assert placed.inputs(images, CPU).is_contiguous(memory_format=torch.channels_last)


def test_the_ranks_exchange_gradients_and_no_buffers():
    """The running statistics of batch norm are for validation, which takes the first rank's."""
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        module = training_module(network_of().module, Ranks(CPU, 1, 2), RunConfig())
        module.train()(torch.rand(2, 3, 32, 32))
        assert not module.will_sync_module_buffers()
    finally:
        dist.destroy_process_group()


class Kernel(torch.autograd.Function):
    """A sum whose gradient lies as kernels of convolutions may leave it."""

    @staticmethod
    def forward(context, weight, strides):
        context.shape, context.strides = weight.shape, strides
        return weight.sum()

    @staticmethod
    def backward(context, _):
        return torch.empty_strided(context.shape, context.strides).fill_(1), None


@pytest.mark.parametrize(
    ("shape", "given", "expected"),
    [
        ((8, 4, 1, 1), (4, 1, 4, 4), (4, 1, 1, 1)),  # of 1 x 1 kernels: the last two say nothing
        ((8, 4, 1, 3), (12, 1, 12, 4), (12, 1, 12, 4)),  # it really lies otherwise
    ],
)
def test_gradients_have_the_strides_of_their_weights(shape, given, expected):
    """Or DistributedDataParallel warns of those of 1 x 1 convolutions."""
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        layer = torch.nn.Conv2d(shape[1], shape[0], shape[2:], bias=False)
        training_module(layer, Ranks(CPU, 1, 2), RunConfig())
    finally:
        dist.destroy_process_group()
    (gradient,) = torch.autograd.grad(Kernel.apply(layer.weight, given), [layer.weight])
    assert gradient.stride() == expected


def test_in_evaluation_the_classifier_computes_in_float32():
    network = network_of(classes=3000)
    images = torch.rand(4, 3, 32, 32)
    seen: list[torch.Tensor] = []
    head = network.module.get_classifier()
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with evaluating(network, CPU, BFLOAT16):
        assert not network.module.training
        logits = network.module(images)
    hook.remove()
    assert seen[0].dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    assert torch.equal(logits, torch.nn.functional.linear(seen[0].float(), head.weight, head.bias))
    assert all(len(row.unique()) > 2900 for row in logits)  # of bfloat16, most would tie
    assert "forward" not in vars(head)
    with torch.autocast("cpu", torch.bfloat16):
        assert network.module(images).dtype == torch.bfloat16  # as training computes


def test_full_precision_ends_with_the_evaluation():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with evaluating(network := network_of(), CPU, replace(BFLOAT16, amp=False)):
            network.module(torch.rand(1, 3, 32, 32))
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before)
