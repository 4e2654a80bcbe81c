"""OFA-595: the paper's mobile network that timm lacks, built from timm's blocks and registered there as `ofa_595`.

"Once for All" (arXiv 1908.09791) found and published it for ImageNet: 595 M multiply-adds at the 236 pixels for which
it was found (513 M at 224). The authors of the ImageNet-21K paper change it in two ways, for speed and accuracy:
x·sigmoid(x) instead of hard-swish, and sigmoid instead of hard sigmoid. Their classifier has no dropout, and this one
has none by default.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import decode_arch_def, resolve_act_layer, round_channels
from timm.models.mobilenetv3 import MobileNetV3
from torch import Tensor, nn

from in21k.train.model.timm_names import OFA

STAGES = (
    ("ds_r1_k3_s1_e1_c24_nre",),
    ("ir_r1_k3_s2_e3_c32_nre", "ir_r1_k5_s1_e4_c32_nre", "ir_r1_k3_s1_e3_c32_nre"),
    (
        "ir_r1_k5_s2_e4_c48_se0.25_nre",
        "ir_r1_k5_s1_e4_c48_se0.25_nre",
        "ir_r1_k3_s1_e6_c48_se0.25_nre",
        "ir_r1_k5_s1_e3_c48_se0.25_nre",
    ),
    ("ir_r1_k7_s2_e6_c96", "ir_r1_k5_s1_e6_c96", "ir_r1_k3_s1_e3_c96", "ir_r1_k5_s1_e4_c96"),
    (
        "ir_r1_k3_s1_e6_c136_se0.25",
        "ir_r1_k5_s1_e6_c136_se0.25",
        "ir_r1_k7_s1_e6_c136_se0.25",
        "ir_r1_k3_s1_e4_c136_se0.25",
    ),
    (
        "ir_r1_k3_s2_e6_c192_se0.25",
        "ir_r1_k3_s1_e6_c192_se0.25",
        "ir_r1_k5_s1_e6_c192_se0.25",
        "ir_r1_k3_s1_e3_c192_se0.25",
    ),
    ("cn_r1_k1_s1_c1152",),
)
"""The published configuration in timm's notation: kernel, stride, expansion, channels, squeeze and excitation, relu."""

default_cfgs = generate_default_cfgs(
    {
        f"{OFA}.untrained": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "first_conv": "conv_stem",
            "classifier": "classifier",
        }
    }
)
"""timm's record of the model: inputs are 0 to 1 without mean and std, as the authors train it."""


@register_model  # type: ignore[untyped-decorator]
def ofa_595(pretrained: bool = False, **options: Any) -> nn.Module:
    """Return OFA-595: images [B, 3, H, W] to logits [B, num_classes]; `options` are those of timm's MobileNetV3."""
    squeeze = partial(SqueezeExcite, gate_layer="sigmoid", force_act_layer=nn.ReLU, rd_round_fn=round_channels)
    settings: dict[str, Any] = {
        "block_args": decode_arch_def([list(stage) for stage in STAGES]),
        "stem_size": 24,
        "num_features": 1536,
        "head_bias": False,
        "act_layer": resolve_act_layer({}, "swish"),
        "se_layer": squeeze,
        "feature_cfg": {"out_indices": (0, 1, 2, 3, 4), "feature_cls": "getter"},  # for features_only
    }
    module: nn.Module = build_model_with_cfg(
        MobileNetV3, OFA, pretrained, pretrained_filter_fn=checkpoint_filter_fn, **{**settings, **options}
    )
    return module


def checkpoint_filter_fn(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:  # noqa: ARG001
    """Return weights under this model's names, given those of the authors' files or of this model.

    Args:
        weights: by name; names that are not the authors' stay.
        model: unused; timm passes it to all such functions.
    """
    named = {_own_name(name): tensor for name, tensor in weights.items()}
    classifier = named.get("classifier.weight")
    if classifier is not None and classifier.ndim == 4:  # a 1 × 1 convolution in the authors' files
        named["classifier.weight"] = classifier.flatten(1)
    return named


def _own_name(name: str) -> str:
    """Return our name of a tensor; the authors number all blocks in one sequence, we number them within a stage."""
    layer, _, kind = name.rpartition(".")
    if found := re.fullmatch(r"blocks\.(\d+)\.mobile_inverted_conv\.(.+)", layer):
        place, inner = int(found[1]), found[2]
        layers = _EXPANDED if place else _UNEXPANDED
        if place < len(_PLACES) and inner in layers:
            return f"blocks.{_PLACES[place]}.{layers[inner]}.{kind}"
    return f"{_LAYERS[layer]}.{kind}" if layer in _LAYERS else name


_PLACES = tuple(f"{stage}.{block}" for stage, blocks in enumerate(STAGES[:-1]) for block in range(len(blocks)))
_LAYERS = {
    "first_conv.conv": "conv_stem",
    "first_conv.bn": "bn1",
    "final_expand_layer.conv": "blocks.6.0.conv",
    "final_expand_layer.bn": "blocks.6.0.bn1",
    "feature_mix_layer.conv": "conv_head",
    "classifier.linear": "classifier",
}
_EXPANDED = {
    "inverted_bottleneck.conv": "conv_pw",
    "inverted_bottleneck.bn": "bn1",
    "depth_conv.conv": "conv_dw",
    "depth_conv.bn": "bn2",
    "depth_conv.se.fc.reduce": "se.conv_reduce",
    "depth_conv.se.fc.expand": "se.conv_expand",
    "point_linear.conv": "conv_pwl",
    "point_linear.bn": "bn3",
}
_UNEXPANDED = {
    "depth_conv.conv": "conv_dw",
    "depth_conv.bn": "bn1",
    "point_linear.conv": "conv_pw",
    "point_linear.bn": "bn2",
}
