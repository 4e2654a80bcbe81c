"""Initial weights: from files of several sources, under other names, for images of another size."""

import argparse
import json
import re
from pathlib import Path

import pytest
import timm
import torch
from hub import put_into_cache
from safetensors.torch import load_file, save_file
from small_dataset import WNIDS
from train_runs import train_losses

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config, ModelConfig
from in21k.train.errors import TrainError
from in21k.train.model.level_order import level_order
from in21k.train.model.network import build_network
from in21k.train.model.weights import read_weights
from in21k.train.trainer.loop import pretrain
from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.table import wordnet_hierarchy

ORDER = level_order(wordnet_hierarchy(WNIDS))


def network(name: str, init: Path | str = "", size: int = 32, **settings):
    return build_network(ModelConfig(name=name, init=str(init), **settings), ORDER, size)


def random_weights(name: str, classes: int = 1000, **options) -> dict[str, torch.Tensor]:
    module = timm.create_model(name, num_classes=classes, **options)
    return {
        key: torch.rand_like(value) if value.is_floating_point() else value
        for key, value in module.state_dict().items()
    }


def same(loaded, wanted, without: str) -> bool:
    return all(torch.equal(loaded[key], value) for key, value in wanted.items() if not key.startswith(without))


@pytest.mark.parametrize("around", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_files_of_common_trainers_are_read(tmp_path, around, prefix):
    weights = random_weights("test_resnet")
    named = {prefix + key: value for key, value in weights.items()}
    torch.save({around: named, "epoch": 7, "args": argparse.Namespace(lr=1)} if around else named, tmp_path / "a.pth")
    assert same(network("test_resnet", tmp_path / "a.pth").weights(), weights, without="fc.")


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema"])
def test_the_ema_is_read_on_request(tmp_path, key):
    plain, ema = random_weights("test_resnet"), random_weights("test_resnet")
    torch.save({"state_dict": plain, key: ema}, tmp_path / "a.pth")
    assert same(network("test_resnet", tmp_path / "a.pth").weights(), plain, without="fc.")
    assert same(network("test_resnet", tmp_path / "a.pth", init_ema=True).weights(), ema, without="fc.")
    torch.save({"state_dict": plain}, tmp_path / "b.pth")
    with pytest.raises(TrainError, match=r"b.pth holds no EMA of the weights \(state_dict_ema or model_ema\)"):
        read_weights(tmp_path / "b.pth", ema=True)


def authors_tresnet(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """TResNet's weights under its authors' names: sequences of a convolution and a norm, without counters."""
    blurred = re.compile(r"body\.layer[234]\.0\.conv[12]\.(conv|bn)\b")
    named = {}
    for key, value in weights.items():
        if key.endswith("num_batches_tracked"):
            continue
        stage_of_basic_blocks = key.startswith(("body.layer1", "body.layer2"))
        blur = blurred.match(key) and ("conv1" if stage_of_basic_blocks else "conv2") in key
        inner = {"conv": "0.0" if blur else "0", "bn": "0.1" if blur else "1"}
        named[re.sub(r"(conv\d|downsample\.\d)\.(conv|bn)\b", lambda m, i=inner: f"{m[1]}.{i[m[2]]}", key)] = value
    return named


def test_the_authors_tresnet_file_is_read(tmp_path):
    weights = random_weights("tresnet_m")
    named = authors_tresnet(weights)
    assert "body.conv1.0.weight" in named
    assert "body.layer2.0.conv1.0.1.running_mean" in named
    torch.save({"state_dict": named}, tmp_path / "tresnet_m_miil_21k.pth")
    loaded = network("tresnet_m", tmp_path / "tresnet_m_miil_21k.pth").weights()
    assert not same(
        loaded, weights, without="head."
    )  # the scale of their norm is the weight's absolute value plus 1e-5
    scaled = {key: value.abs() + 1e-5 if key.endswith("bn.weight") else value for key, value in weights.items()}
    assert same(loaded, scaled, without="head.")


def authors_ofa(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """OFA-595's weights under the authors' names: 20 blocks in one sequence, and a convolution as classifier."""
    blocks = [f"blocks.{stage}.{block}" for stage, length in enumerate((1, 3, 4, 4, 4, 4)) for block in range(length)]
    unexpanded = {"conv_dw": "depth_conv.conv", "bn1": "depth_conv.bn", "conv_pw": "point_linear.conv"}
    unexpanded |= {"bn2": "point_linear.bn"}
    expanded = {"conv_pw": "inverted_bottleneck.conv", "bn1": "inverted_bottleneck.bn", "conv_dw": "depth_conv.conv"}
    expanded |= {"bn2": "depth_conv.bn", "conv_pwl": "point_linear.conv", "bn3": "point_linear.bn"}
    expanded |= {"se.conv_reduce": "depth_conv.se.fc.reduce", "se.conv_expand": "depth_conv.se.fc.expand"}
    layers = {"conv_stem": "first_conv.conv", "bn1": "first_conv.bn", "conv_head": "feature_mix_layer.conv"}
    layers |= {"blocks.6.0.conv": "final_expand_layer.conv", "blocks.6.0.bn1": "final_expand_layer.bn"}
    layers |= {"classifier": "classifier.linear"}
    for index, block in enumerate(blocks):
        inner = expanded if index else unexpanded
        layers |= {f"{block}.{own}": f"blocks.{index}.mobile_inverted_conv.{theirs}" for own, theirs in inner.items()}
    named = {f"{layers[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in weights.items()}
    return {**named, "classifier.linear.weight": named["classifier.linear.weight"][:, :, None, None]}


def test_the_authors_ofa_file_is_read(tmp_path):
    weights = random_weights("ofa_595", classes=len(WNIDS))
    named = authors_ofa(weights)
    assert len(named) == len(weights)
    assert named["blocks.0.mobile_inverted_conv.depth_conv.conv.weight"].shape == (24, 1, 3, 3)
    assert named["blocks.19.mobile_inverted_conv.depth_conv.se.fc.reduce.weight"].shape == (144, 576, 1, 1)
    assert named["classifier.linear.weight"].shape == (10, 1536, 1, 1)
    torch.save({"state_dict": named}, tmp_path / "ofa_flops_595m_s_miil_21k.pth")
    loaded = network("ofa_595", tmp_path / "ofa_flops_595m_s_miil_21k.pth").weights()
    assert loaded.keys() == weights.keys()
    assert same(loaded, weights, without="none")  # the classifier too: it has a row a class


def test_position_embeddings_are_resized(tmp_path):
    weights = random_weights("test_vit", img_size=160)
    save_file(weights, tmp_path / "a.safetensors")
    loaded = network("test_vit", tmp_path / "a.safetensors", size=80).weights()
    assert loaded["pos_embed"].shape[1] < weights["pos_embed"].shape[1]
    assert torch.equal(loaded["pos_embed"][:, 0], weights["pos_embed"][:, 0])  # of the class token
    assert same(loaded, {key: value for key, value in weights.items() if key != "pos_embed"}, without="head.")


def test_files_that_do_not_fit_are_one_line(tmp_path):
    save_file(random_weights("test_efficientnet"), tmp_path / "other.safetensors")
    wide = random_weights("test_resnet")
    save_file({**wide, "conv1.0.weight": torch.zeros(9, 3, 3, 3)}, tmp_path / "wide.safetensors")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    torch.save({"state_dict": {}}, tmp_path / "empty.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    for file, message in (
        ("other.safetensors", "is not a checkpoint of test_resnet: 71 of 75 tensors are missing"),
        ("wide.safetensors", r"does not fit test_resnet: conv1.0.weight is \[9, 3, 3, 3\] in the file and"),
        ("list.pth", "holds no weights by name"),
        ("empty.pth", "holds no weights by name"),
        ("cut.pth", "cannot be read as weights"),
    ):
        with pytest.raises(TrainError, match=message) as caught:
            network("test_resnet", tmp_path / file)
        assert str(tmp_path / file) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_activation_checkpointing_changes_no_gradient(name):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        module = network(name, size=160, grad_checkpointing=checkpointing).module.train()
        assert module.grad_checkpointing is checkpointing
        module(torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))).square().sum().backward()
        gradients.append([parameter.grad for parameter in module.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_a_model_without_activation_checkpointing_is_one_line():
    with pytest.raises(TrainError, match="timm has no activation checkpointing for dla46_c"):
        network("dla46_c", grad_checkpointing=True)


def run_config(**values) -> Config:
    common = {
        "model.name": "test_resnet",
        "optim.epochs": 1,
        "data.batch_size": 20,
        "run.workers": 0,
        "run.device": "cpu",
    }
    return with_values(Config(), {**common, "run.log_steps": 1, **{k.replace("__", "."): v for k, v in values.items()}})


def test_a_run_keeps_the_normalization_of_its_initial_weights(dataset_folder, tmp_path):
    save_file(random_weights("test_resnet"), tmp_path / "timm.safetensors")
    began = {}
    for name, settings in {
        "scratch": {},
        "timm": {"model__init": str(tmp_path / "timm.safetensors")},
        "forced": {"model__init": str(tmp_path / "timm.safetensors"), "model__inputs": "unit"},
    }.items():
        pretrain(str(dataset_folder), tmp_path / name, run_config(**settings), progress=False)
        began[name] = json.loads((tmp_path / name / "config.json").read_text())["config"]["model"]["inputs"]
    assert began == {"scratch": "unit", "timm": "timm", "forced": "unit"}
    assert train_losses(tmp_path / "timm") != train_losses(tmp_path / "forced")
    [weights] = (tmp_path / "scratch" / "checkpoints").glob("*/model.safetensors")
    assert load_file(weights)
    pretrain(str(dataset_folder), tmp_path / "again", run_config(model__init=str(weights)), progress=False)
    assert json.loads((tmp_path / "again" / "config.json").read_text())["config"]["model"]["inputs"] == "unit"


def test_timms_weights_keep_a_classifier_of_the_right_size(monkeypatch, tmp_path):
    weights = random_weights("test_resnet")
    put_into_cache(monkeypatch, tmp_path, "test_resnet.r160_in1k", weights)
    settings = ModelConfig(name="test_resnet", pretrained=True)
    thousand = level_order(wordnet_hierarchy(published_class_list(PublishedList.FALL11)[:1000]))
    network_of_1000 = build_network(settings, thousand, 32)
    assert same(network_of_1000.weights(), weights, without="none")
    assert not torch.equal(network_of_1000.module.fc.weight, weights["fc.weight"])  # in level order
    assert same(build_network(settings, ORDER, 32).weights(), weights, without="fc.")
