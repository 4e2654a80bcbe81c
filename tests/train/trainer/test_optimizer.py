"""Steps of each optimizer: what decays, and how; and what a step that overflows leaves behind."""

import pytest
import torch
from small_dataset import WNIDS

from in21k.train.config.settings import ModelConfig, OptimConfig
from in21k.train.model.level_order import flat_order
from in21k.train.model.network import Network, build_network
from in21k.train.trainer.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors

LR, DECAY = 0.01, 0.5
SGD = OptimConfig(name="sgd", lr=LR, nesterov=True)


def step(name: str) -> tuple[Network, dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Return a network with norms and biases, and its parameters before and after a step without gradients."""
    torch.manual_seed(0)
    network = build_network(ModelConfig(name="test_vit"), flat_order(len(WNIDS)), 32)
    parameters = dict(network.module.named_parameters())
    for parameter in parameters.values():
        torch.nn.init.uniform_(parameter, 1, 2)
        parameter.grad = torch.zeros_like(parameter)
    before = {key: parameter.detach().clone() for key, parameter in parameters.items()}
    config = OptimConfig(name=name, lr=LR, weight_decay=DECAY)
    build_optimizer(network, config).step()
    return network, {key: (before[key], parameter.detach()) for key, parameter in parameters.items()}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_all_weights_decay_but_biases_norms_and_what_the_model_exempts(name):
    network, parameters = step(name)
    spared = {key for key, (before, after) in parameters.items() if torch.equal(before, after)}
    flat = {key for key, (before, _) in parameters.items() if before.ndim == 1}
    assert {"blocks.0.norm1.weight", "blocks.0.attn.qkv.bias", "head.bias"} <= flat
    assert spared == flat | parameters.keys() & network.module.no_weight_decay()


@pytest.mark.parametrize(
    ("name", "factor", "less"),
    [("adamw", 1 - LR * DECAY, 0), ("sgd", 1 - LR * DECAY, 0), ("adam", 1, LR)],
)
def test_the_decay_is_decoupled_or_a_penalty_on_the_loss(name, factor, less):
    """Adam divides the penalty's gradient by its own size, so that every weight moves by the learning rate."""
    before, after = step(name)[1]["head.weight"]
    torch.testing.assert_close(after, before * factor - less)


def after_overflow(*, fused: bool, resumed: bool = False) -> dict[str, torch.Tensor]:
    """Return the parameters after a first step that overflows and a second one that does not."""
    torch.manual_seed(0)
    network = build_network(ModelConfig(name="test_resnet"), flat_order(len(WNIDS)), 32)
    optimizer, scaler = build_optimizer(network, SGD, fused=fused), torch.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale(torch.ones(()))
    for value in (torch.inf, 1.0):
        for parameter in network.module.parameters():
            parameter.grad = torch.full_like(parameter, value)
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        if resumed:
            state = optimizer_tensors(network, optimizer)
            optimizer = build_optimizer(network, SGD, fused=True)
            load_optimizer_tensors(network, optimizer, state)
    return dict(network.module.named_parameters())


@pytest.mark.parametrize(("fused", "resumed"), [(True, False), (True, True), (False, True)])
def test_a_first_step_that_overflows_leaves_no_momentum(fused, resumed):
    """In torch's fused SGD it leaves uninitialized memory."""
    used = [torch.full((each,), 1e30) for each in range(1, 2000)]  # what the allocator hands out next is not zero
    del used
    expected = after_overflow(fused=False)
    for name, parameter in after_overflow(fused=fused, resumed=resumed).items():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-6, atol=1e-7)
