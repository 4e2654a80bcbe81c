"""The normalization of a model's inputs."""

import pytest
import torch

from in21k.train.model.normalization import Normalization, normalization_of

CPU = torch.device("cpu")


def test_inputs_of_0_to_1_are_pixels_over_255():
    images = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    assert torch.equal(Normalization().inputs(images, CPU), images.float() / 255)


def test_mean_and_std_are_per_channel():
    images = torch.randint(256, (2, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    given = Normalization((0.1, 0.2, 0.3), (0.5, 1.0, 2.0)).inputs(images, CPU)
    for channel, (mean, std) in enumerate(((0.1, 0.5), (0.2, 1.0), (0.3, 2.0))):
        torch.testing.assert_close(given[:, channel], (images[:, channel] / 255 - mean) / std)


def test_the_memory_format_is_kept():
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8).to(memory_format=torch.channels_last)
    for normalization in (Normalization(), normalization_of("resnet50", "timm")):
        assert normalization.inputs(images, CPU).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("name", "inputs", "mean"),
    [
        ("resnet50", "timm", 0.485),
        ("resnet50", "unit", 0.0),
        ("resnet50", "auto", 0.0),  # as checkpoints of older versions have it
        ("vit_base_patch16_224.augreg_in1k", "timm", 0.5),
        ("tresnet_m.miil_in1k", "timm", 0.0),
    ],
)
def test_timms_mean_is_that_of_the_weights(name, inputs, mean):
    assert normalization_of(name, inputs).mean[0] == mean
