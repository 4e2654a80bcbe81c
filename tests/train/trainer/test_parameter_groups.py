"""Learning rates of their own: layer by layer, and the classifier's; against what timm groups, and by a step."""

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay, param_groups_weight_decay

from in21k.train.config.settings import ModelConfig, OptimConfig
from in21k.train.errors import TrainError
from in21k.train.model.level_order import flat_order
from in21k.train.model.network import Network, build_network
from in21k.train.model.stages import freeze_stages
from in21k.train.trainer.optimizer import build_optimizer, set_step
from in21k.train.trainer.parameter_groups import parameter_groups


def network_of(name: str) -> Network:
    torch.manual_seed(0)
    return build_network(ModelConfig(name=name), flat_order(7), 32)


def names_of(network: Network) -> list[str]:
    return [name for name, _ in network.module.named_parameters()]


def moved(network: Network, **settings) -> dict[str, float]:
    """How far each parameter goes in a step of plain SGD at a rate of 1 with a gradient of ones."""
    config = OptimConfig(name="sgd", momentum=0.0, weight_decay=0.0, lr=1.0, div_factor=1.0, **settings)
    parameters = dict(network.module.named_parameters())
    before = {name: each.detach().clone() for name, each in parameters.items()}
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    optimizer = build_optimizer(network, config)
    set_step(optimizer, 0, 10, config)
    optimizer.step()
    return {name: float((before[name] - each.detach()).mean()) for name, each in parameters.items()}


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_without_factors_the_groups_are_timms(name):
    network = network_of(name)
    named = getattr(network.module, "no_weight_decay", tuple)()
    groups = (
        parameter_groups(network, OptimConfig()),
        param_groups_weight_decay(network.module, 1e-4, no_weight_decay_list=named),
    )
    ours, theirs = ([[id(each) for each in group["params"]] for group in found] for found in groups)
    assert ours == theirs
    assert list(moved(network).values()) == pytest.approx([1.0] * len(names_of(network)), abs=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "mobilenetv3_small_050"])
def test_layer_wise_decay_is_timms(name):
    network = network_of(name)
    names = {id(parameter): key for key, parameter in network.module.named_parameters()}
    theirs = {
        names[id(parameter)]: group["lr_scale"]
        for group in param_groups_layer_decay(network.module, layer_decay=0.7)
        for parameter in group["params"]
    }
    assert len(set(theirs.values())) > 4
    assert moved(network, layer_decay=0.7) == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_classifier_alone_has_its_factor(name):
    network = network_of(name)
    found = moved(network, head_lr=10.0)
    assert network.head
    assert found == pytest.approx({key: 10.0 if key in network.head else 1.0 for key in found}, abs=1e-4)


def test_frozen_stages_have_no_group_and_their_batch_norm_stays_in_eval_mode():
    network = network_of("test_resnet")
    freeze_stages(network, 2)
    network.module.train()
    found = moved(network, layer_decay=0.5, head_lr=2.0)
    frozen = {key for key in found if key.startswith(("conv1", "bn1", "layer1"))}
    assert {key for key, distance in found.items() if distance == 0} == frozen
    assert found["fc.weight"] == pytest.approx(2.0, abs=1e-4)
    norms = {key: module.training for key, module in network.module.named_modules() if hasattr(module, "running_mean")}
    assert {key for key, training in norms.items() if not training} == {
        k for k in norms if k.startswith(("conv1", "bn1", "layer1"))
    }


def test_a_model_whose_stages_timm_does_not_know_is_one_line(monkeypatch):
    network = network_of("test_resnet")
    monkeypatch.setattr(timm.models.resnet.ResNet, "group_matcher", None)
    for call in (lambda: freeze_stages(network, 1), lambda: parameter_groups(network, OptimConfig(layer_decay=0.5))):
        with pytest.raises(TrainError, match=r"timm does not say which stages test_resnet has; leave model\.frozen"):
            call()
    freeze_stages(network, 0)
