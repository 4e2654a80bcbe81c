"""The paper's architectures: names, costs, and OFA-595 against its published figures."""

import json
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from train_runs import answer

from in21k.train.config.settings import ModelConfig
from in21k.train.errors import TrainError
from in21k.train.model.architectures import ARCHITECTURES
from in21k.train.model.cost import model_cost
from in21k.train.run.resolve import resolve_model


def counted_macs(module: nn.Module, size: int) -> int:
    """Multiply-adds of all convolutions and linear layers, counted as they run."""
    counts = []

    def count(layer, arguments, output):
        if isinstance(layer, nn.Conv2d):
            positions = output.shape[2] * output.shape[3]
            counts.append(layer.weight.numel() * positions)
        else:
            counts.append(layer.weight.numel() * (output.numel() // output.shape[-1]))

    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        module.eval()(torch.zeros(1, 3, size, size))
    return sum(counts)


def test_ofa_595_has_the_published_size():
    """Once for All publishes 9.1 M parameters and 595 M multiply-adds, at 236 pixels."""
    module = timm.create_model("ofa_595")
    parameters = sum(parameter.numel() for parameter in module.parameters())
    assert parameters == pytest.approx(9.1e6, rel=0.02)
    assert parameters == 9_135_928
    macs = counted_macs(module, 236)
    assert macs == pytest.approx(595e6, rel=0.02)
    assert macs == 595_189_032
    assert counted_macs(module, 224) == 512_861_680  # at the size that ImageNet-21K is trained at


def test_ofa_595_takes_inputs_of_0_to_1_and_has_the_authors_activations():
    module = timm.create_model("ofa_595", num_classes=10)
    assert (module.pretrained_cfg["mean"], module.pretrained_cfg["std"]) == ((0.0,) * 3, (1.0,) * 3)
    kinds = [type(layer).__name__ for layer in module.modules()]
    assert kinds.count("Sigmoid") == 12  # a squeeze and excitation in each block of three stages
    assert {"SiLU", "ReLU"} < set(kinds)
    assert not any(kind.startswith(("Hard", "Dropout")) for kind in kinds)


@pytest.mark.parametrize("name", ["mobilenetv3_large_100", "resnet50", "ofa_595"])
def test_costs_are_those_counted_layer_by_layer(name):
    cost = model_cost(name, image_size=96)
    module = timm.create_model(name)
    assert cost.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert cost.macs == counted_macs(module, 96)


def test_attention_counts_too():
    width, tokens = 768, 197
    attention = 12 * 2 * tokens * tokens * width  # in 12 layers, queries with keys and weights with values
    module = timm.create_model("vit_base_patch16_224")
    assert model_cost("vit_base_patch16_224").macs == counted_macs(module, 224) + attention


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.timm)
def test_names_of_the_table_are_timms(architecture):
    assert timm.is_model(architecture.timm)
    assert timm.models.get_pretrained_cfg(architecture.timm_weights) is not None
    if architecture.authors:
        authors = timm.models.get_pretrained_cfg(architecture.authors)
        assert (authors.num_classes, authors.mean, authors.std) == (11_221, (0.0,) * 3, (1.0,) * 3)
    if architecture.imagenet1k:
        weights = timm.models.get_pretrained_cfg(architecture.timm_weights)
        assert weights.num_classes == 1000
        assert "in21k" not in weights.tag


@pytest.mark.parametrize(
    ("written", "timm_name"),
    [
        ("TResNet-M", "tresnet_m"),
        ("tresnet-l", "tresnet_v2_l"),
        ("ViT-B-16", "vit_base_patch16_224"),
        ("mixer-b/16", "mixer_b16_224"),
        ("ofa-595", "ofa_595"),
        ("ResNet50", "resnet50"),
        ("tresnet_l", "tresnet_l"),  # timm's own name
    ],
)
def test_the_papers_names_are_accepted_as_people_write_them(written, timm_name):
    assert resolve_model(ModelConfig(name=written)).name == timm_name


def test_initial_weights_have_seen_only_imagenet_1k():
    assert resolve_model(ModelConfig(name="TResNet-M", pretrained=True)).name == "tresnet_m.miil_in1k"
    assert resolve_model(ModelConfig(name="tresnet_m", pretrained=True)).name == "tresnet_m"
    remedy = r"pass a file \(pretrain --init, transfer --checkpoint\)"
    with pytest.raises(TrainError, match=f"no weights of Mixer-B/16 that have seen ImageNet-1K alone; {remedy}"):
        resolve_model(ModelConfig(name="Mixer-B/16", pretrained=True))
    with pytest.raises(TrainError, match=rf"{remedy}; timm has others, .*tresnet_v2_l\.miil_in21k"):
        resolve_model(ModelConfig(name="TResNet-L", pretrained=True))
    with pytest.raises(TrainError, match=f"{remedy}$"):
        resolve_model(ModelConfig(name="OFA-595", pretrained=True))


def test_their_costs_are_those_counted_and_the_docs_list_them():
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    for architecture in ARCHITECTURES:
        cost = model_cost(architecture.timm)
        assert (architecture.parameters, architecture.macs) == (cost.parameters, cost.macs)
        cells = [architecture.name, architecture.timm, f"{cost.parameters / 1e6:.1f} M", f"{cost.macs / 1e6:,.0f} M"]
        cells += [architecture.imagenet1k, architecture.authors or "a file of theirs"]
        assert f"| {' | '.join(cells)} |".replace("|  |", "| |") in page


def test_the_command_lists_them(capsys):
    status, output, errors = answer(capsys, "models", "--json")
    assert status == 0, errors
    rows = {row["name"]: row for row in json.loads(output)["models"]}
    assert list(rows) == [architecture.name for architecture in ARCHITECTURES]
    assert (rows["OFA-595"]["timm"], rows["OFA-595"]["parameters"]) == ("ofa_595", 9_135_928)
    assert rows["TResNet-M"]["v100_train_speed"] == 670
    table = answer(capsys, "models")[1].splitlines()
    assert len(table) == 1 + len(rows)
    assert table[2].split()[:3] == ["OFA-595", "ofa_595", "9.1"]
