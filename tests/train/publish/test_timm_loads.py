"""timm loads the export of every architecture of the paper: whole, without a classifier, and as feature maps."""

import pytest
import timm
import torch
from exported import exported
from torch import nn

from in21k.train.model.architectures import ARCHITECTURES

MAPS = {
    "mobilenetv3_large_100": [16, 24, 40, 112, 960],
    "ofa_595": [24, 32, 48, 136, 1152],
    "resnet50": [64, 256, 512, 1024, 2048],
    "tresnet_m": [64, 128, 1024, 2048],
    "tresnet_v2_l": [256, 512, 1024, 2048],
    "mixer_b16_224": [768, 768, 768],
    "vit_base_patch16_224": [768, 768, 768],
}
"""Channels of the feature maps of the paper's architectures."""


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("test_resnet", 32),
        ("test_vit", 32),
        ("ofa_595", 32),
        *(pytest.param(each.timm, 224, marks=pytest.mark.slow) for each in ARCHITECTURES),
    ],
)
def test_timm_loads_an_export_whole_without_classifier_and_as_feature_maps(tmp_path, name, size):
    model = exported(tmp_path, name, size)
    module = model.network.module.eval()
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))

    def loaded(**options: object) -> nn.Module:
        return timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True, **options).eval()

    with torch.inference_mode():
        torch.testing.assert_close(loaded()(images), model.network.order.to_classes(module(images), dim=1))
        before = module.forward_head(module.forward_features(images), pre_logits=True)
        torch.testing.assert_close(loaded(num_classes=0)(images), before)
        maps = loaded(features_only=True)(images)
        known = module.forward_intermediates(images, intermediates_only=True)
    assert len(maps) > 2
    for each in maps:
        assert any(each.shape == other.shape and torch.allclose(each, other, atol=1e-4) for other in known)
    if name in MAPS:
        assert [each.shape[1] for each in maps] == MAPS[name]
