"""The paper's architectures: its names for them, and timm's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMM_PREFIX = "timm:"
"""What a checkpoint begins with where timm has the weights."""


@dataclass(frozen=True)
class Architecture:
    """An architecture of the paper's tables."""

    name: str
    """The paper's name; `--model` accepts it in upper or lower case."""
    timm: str
    """timm's name; importing `in21k.train.model.ofa` registers ofa_595."""
    parameters: int
    """Of the network with 1,000 classes. Counted once (`train/model/cost.py`): to build the networks takes seconds."""
    macs: int
    """Multiply-adds per image of 224 pixels, likewise."""
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
    Architecture(
        name="MobileNetV3-L",
        timm="mobilenetv3_large_100",
        parameters=5_483_032,
        macs=216_589_760,
        imagenet1k="ra_in1k",
        authors="mobilenetv3_large_100.miil_in21k",
        train_speed=1210,
        batch_size=488,
    ),
    Architecture(
        name="OFA-595",
        timm="ofa_595",
        parameters=9_135_928,
        macs=512_861_680,
        imagenet1k="",
        authors="",
        train_speed=500,
        batch_size=288,
    ),
    Architecture(
        name="ResNet50",
        timm="resnet50",
        parameters=25_557_032,
        macs=4_089_184_256,
        imagenet1k="a1_in1k",
        authors="",
        train_speed=720,
        batch_size=320,
    ),
    Architecture(
        name="TResNet-M",
        timm="tresnet_m",
        parameters=31_389_032,
        macs=5_736_545_792,
        imagenet1k="miil_in1k",
        authors="tresnet_m.miil_in21k",
        train_speed=670,
        batch_size=520,
    ),
    # The authors train timm's V2; timm's tresnet_l, 1.2 times as wide, is that of the TResNet paper.
    Architecture(
        name="TResNet-L",
        timm="tresnet_v2_l",
        parameters=46_174_824,
        macs=8_813_723_136,
        imagenet1k="",
        authors="tresnet_v2_l.miil_in21k",
        train_speed=300,
        batch_size=240,
    ),
    Architecture(
        name="Mixer-B/16",
        timm="mixer_b16_224",
        parameters=59_880_472,
        macs=12_601_767_936,
        imagenet1k="",
        authors="mixer_b16_224.miil_in21k",
        train_speed=420,
        batch_size=160,
    ),
    Architecture(
        name="ViT-B/16",
        timm="vit_base_patch16_224",
        parameters=86_567_656,
        macs=17_563_828_224,
        imagenet1k="augreg_in1k",
        authors="vit_base_patch16_224_miil.in21k",
        train_speed=340,
        batch_size=160,
    ),
)
"""In the order of the authors' list of models, from which speeds and batch sizes are taken."""


def find_architecture(name: str) -> Architecture | None:
    """Return the architecture of this name in the paper, ignoring case, - and /; None for other names."""
    wanted = _plain(name)
    return next((architecture for architecture in ARCHITECTURES if _plain(architecture.name) == wanted), None)


def is_published(checkpoint: str) -> bool:
    """Return whether a checkpoint names a published model: timm:NAME, or a name of the paper's that is no file."""
    if checkpoint.startswith(TIMM_PREFIX):
        return True
    return find_architecture(checkpoint) is not None and not Path(checkpoint).exists()


def architecture_rows() -> list[dict[str, Any]]:
    """Return a row of plain values per architecture of the paper, for 1,000 classes at 224 pixels."""
    return [
        {
            "name": architecture.name,
            "timm": architecture.timm,
            "parameters": architecture.parameters,
            "macs": architecture.macs,
            "v100_train_speed": architecture.train_speed,
            "v100_batch_size": architecture.batch_size,
            "imagenet1k_weights": architecture.timm_weights if architecture.imagenet1k else "",
            "authors_weights": architecture.authors,
        }
        for architecture in ARCHITECTURES
    ]


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character not in "-/ ")
