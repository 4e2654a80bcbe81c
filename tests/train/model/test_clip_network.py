"""A network for clips: the features of each frame, aggregated, and its parameters as the trainer groups them."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from in21k.train.config.settings import ModelConfig, OptimConfig, VideoConfig
from in21k.train.errors import TrainError
from in21k.train.model.clips import build_for
from in21k.train.model.level_order import flat_order
from in21k.train.model.stages import freeze_stages, groups_of
from in21k.train.trainer.parameter_groups import parameter_groups

FRAMES, CLASSES = 3, 5
CPU = torch.device("cpu")


def network_of(name="test_resnet", aggregate="transformer", size=32, **config):
    video = VideoConfig(frames=FRAMES, aggregate=aggregate, layers=2, heads=4)
    torch.manual_seed(0)
    network = build_for(video, ModelConfig(name=name, inputs="unit", **config), flat_order(CLASSES), size)
    network.module.eval()
    return network


def clips(count, size=32):
    return torch.randint(0, 256, (count * FRAMES, 3, size, size), dtype=torch.uint8)


def logits_of(network, frames):
    with torch.no_grad():
        return network.module(network.inputs(frames, CPU))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("tresnet_m", 64),
        ("resnet50", 32),
        ("mobilenetv3_large_100", 32),
        ("ofa_595", 32),
        ("vit_tiny_patch16_224", 224),
        ("mixer_s32_224", 224),
    ],
)
def test_the_papers_backbones_give_a_row_of_logits_for_each_clip(name, size):
    assert logits_of(network_of(name, size=size), clips(2, size)).shape == (2, CLASSES)


def test_the_mean_is_of_the_features_that_enter_the_image_networks_classifier(tmp_path):
    torch.manual_seed(1)
    image = timm.create_model("test_resnet", num_classes=7).eval()
    save_file(image.state_dict(), tmp_path / "image.safetensors")
    network, frames = network_of(aggregate="mean", init=str(tmp_path / "image.safetensors")), clips(2)
    with torch.no_grad():
        features = image.forward_head(image.forward_features(frames / 255), pre_logits=True).view(2, FRAMES, -1)
        expected = network.module.classifier(features.mean(1))
    torch.testing.assert_close(logits_of(network, frames), expected)


def test_the_transformer_sees_the_order_of_frames_and_the_mean_does_not():
    frames = clips(1)
    for aggregate, same in (("mean", True), ("transformer", False)):
        network = network_of(aggregate=aggregate)
        there, back = logits_of(network, frames), logits_of(network, frames.flip(0))
        assert torch.allclose(there, back, atol=1e-6) is same


def test_clips_do_not_see_each_other():
    network, frames = network_of(), clips(2)
    both = logits_of(network, frames)
    torch.testing.assert_close(both[:1], logits_of(network, frames[:FRAMES]))
    torch.testing.assert_close(both[1:], logits_of(network, frames[FRAMES:]))


def test_weights_go_into_another_network_for_clips_without_its_classifier(tmp_path):
    first = network_of()
    save_file(first.weights(), tmp_path / "clips.safetensors")
    torch.manual_seed(9)
    video = VideoConfig(frames=FRAMES, aggregate="transformer", layers=2, heads=4)
    config = ModelConfig(name="test_resnet", inputs="unit", init=str(tmp_path / "clips.safetensors"), new_head=True)
    second = build_for(video, config, flat_order(CLASSES), 32)
    before, after = first.weights(), second.weights()
    assert {name for name in before if not torch.equal(before[name], after[name])} <= first.head
    with pytest.raises(TrainError, match=r"aggregate\.positions is \[1, 4, .*\] in the file and \[1, 3, .*\]"):
        build_for(VideoConfig(frames=2, aggregate="transformer", layers=2, heads=4), config, flat_order(CLASSES), 32)


def test_the_aggregate_is_a_stage_and_a_layer_of_its_own_with_the_classifier():
    network = network_of()
    stages = groups_of(network, coarse=True)
    last = max(stages.values())
    assert stages.keys() == {name for name, _ in network.module.named_parameters()}
    assert {name for name, stage in stages.items() if stage == last} == {
        name for name in stages if not name.startswith("backbone.")
    }
    freeze_stages(network, last)
    trained = {name for name, parameter in network.module.named_parameters() if parameter.requires_grad}
    assert trained == {name for name in stages if stages[name] == last}


def test_positions_and_the_class_token_do_not_decay():
    network = network_of()
    names = {id(parameter): name for name, parameter in network.module.named_parameters()}
    groups = parameter_groups(network, OptimConfig(weight_decay=0.1))
    spared = {names[id(each)] for group in groups if not group["weight_decay"] for each in group["params"]}
    assert {"aggregate.positions", "aggregate.class_token", "classifier.bias"} <= spared
    assert "classifier.weight" not in spared
