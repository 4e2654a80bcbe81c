"""The paper's architectures: its names for them, and timm's."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """An architecture of the paper's tables."""

    name: str
    """The paper's name; `--model` accepts it in upper or lower case."""
    timm: str
    """timm's name; importing `in21k.train.model.ofa` registers ofa_595."""
    imagenet1k: str
    """Tag of timm's weights from ImageNet-1K alone; empty if timm has none."""
    authors: str
    """timm's name for the authors' ImageNet-21K weights; empty if timm has none."""
    train_speed: int
    """Training speed on one V100 in images per second, as the authors publish it."""
    batch_size: int
    """The largest batch on one V100, as the authors publish it."""

    @property
    def timm_weights(self) -> str:
        """The name in timm with the tag of its ImageNet-1K weights, if there are any."""
        return f"{self.timm}.{self.imagenet1k}" if self.imagenet1k else self.timm


ARCHITECTURES = (
    Architecture("MobileNetV3-L", "mobilenetv3_large_100", "ra_in1k", "mobilenetv3_large_100.miil_in21k", 1210, 488),
    Architecture("OFA-595", "ofa_595", "", "", 500, 288),
    Architecture("ResNet50", "resnet50", "a1_in1k", "", 720, 320),
    Architecture("TResNet-M", "tresnet_m", "miil_in1k", "tresnet_m.miil_in21k", 670, 520),
    # The authors train timm's V2; timm's tresnet_l, 1.2 times as wide, is that of the TResNet paper.
    Architecture("TResNet-L", "tresnet_v2_l", "", "tresnet_v2_l.miil_in21k", 300, 240),
    Architecture("Mixer-B/16", "mixer_b16_224", "", "mixer_b16_224.miil_in21k", 420, 160),
    Architecture("ViT-B/16", "vit_base_patch16_224", "augreg_in1k", "vit_base_patch16_224_miil.in21k", 340, 160),
)
"""In the order of the authors' list of models, from which speeds and batch sizes are taken."""


def find_architecture(name: str) -> Architecture | None:
    """Return the architecture of this name in the paper, ignoring case, - and /; None for other names."""
    wanted = _plain(name)
    return next((architecture for architecture in ARCHITECTURES if _plain(architecture.name) == wanted), None)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character not in "-/ ")
