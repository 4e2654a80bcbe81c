"""A pyramid of maps of one width: torchvision's over a network's own maps, a plain one over a ViT's only map."""

from collections import OrderedDict
from collections.abc import Mapping

from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, FeaturePyramidNetwork

from in21k.train.detection.feature_maps import FeatureMaps


class Pyramid(nn.Module):
    """What torchvision's detectors call their backbone: images to maps by name, the largest first."""

    def __init__(self, maps: FeatureMaps, strides: tuple[int, ...], width: int, extra: ExtraFPNBlock) -> None:
        """Build it.

        Args:
            maps: the network's own, whose module becomes `body`.
            strides: of the pyramid's maps, without those of `extra`.
            width: channels of each of them.
            extra: makes the smaller ones.
        """
        super().__init__()
        self.out_channels = width
        self.body = maps.module
        self.fpn: nn.Module
        if len(maps.strides) == 1:
            self.fpn = PlainPyramid(maps.channels[0], [maps.strides[0] / stride for stride in strides], width, extra)
        else:
            self.fpn = FeaturePyramidNetwork(list(maps.channels), width, extra)

    def forward(self, images: Tensor) -> Mapping[str, Tensor]:
        """Return the maps of normalized images [B, 3, H, W]."""
        found = OrderedDict((str(level), each) for level, each in enumerate(self.body(images)))
        maps: Mapping[str, Tensor] = self.fpn(found)
        return maps


class PlainPyramid(nn.Module):
    """Maps of several strides out of one, without a path from the top down.

    It is the simple feature pyramid of "Exploring Plain Vision Transformer Backbones for Object Detection", section 3.
    """

    def __init__(self, channels: int, scales: list[float], width: int, extra: ExtraFPNBlock) -> None:
        """Build it.

        Args:
            channels: of the map.
            scales: how much larger each map of the pyramid is, both ways: powers of two, or their inverses.
            width: channels of each.
            extra: makes the smaller ones.
        """
        super().__init__()
        self.levels = nn.ModuleList(_level(channels, scale, width) for scale in scales)
        self.smaller = extra

    def forward(self, maps: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the pyramid of the only map that is given."""
        (own,) = maps.values()
        levels = [level(own) for level in self.levels]
        found, names = self.smaller(levels, [own] * len(levels), [str(number) for number in range(len(levels))])
        return OrderedDict(zip(names, found, strict=True))


def _level(channels: int, scale: float, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    if scale < 1:
        layers.append(nn.MaxPool2d(round(1 / scale)))
    while scale > 1:
        layers += [nn.ConvTranspose2d(channels, max(channels // 2, 1), 2, stride=2)]
        channels, scale = max(channels // 2, 1), scale / 2
        if scale > 1:
            layers += [LayerNorm2d(channels), nn.GELU()]
    layers += [nn.Conv2d(channels, width, 1, bias=False), LayerNorm2d(width)]
    layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), LayerNorm2d(width)]
    return nn.Sequential(*layers)
