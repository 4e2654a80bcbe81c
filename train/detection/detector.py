"""Detectors: torchvision's RetinaNet and Faster R-CNN over the feature maps of a timm model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from in21k.train.config.settings import Config
from in21k.train.detection.feature_maps import FeatureMaps, freeze_norms, open_feature_maps
from in21k.train.detection.pyramid import Pyramid
from in21k.train.model.level_order import flat_order
from in21k.train.model.network import Network
from in21k.train.model.normalization import Normalization, normalization_of

RETINANET, FASTER_RCNN = "retinanet", "faster-rcnn"

_STRIDES = {RETINANET: (8, 16, 32), FASTER_RCNN: (4, 8, 16, 32)}
"""Of the maps that torchvision takes from a ResNet."""

_FROM_MAPS = {RETINANET: ("head",), FASTER_RCNN: ("rpn.head", "roi_heads.box_predictor")}
"""The modules that make logits and corrections of boxes out of maps."""

_RATIOS = (0.5, 1.0, 2.0)
"""Of an anchor's height to its width."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A detector in memory."""

    network: Network
    """Its module takes a list of images, float32 [3, H, W] of 0 to 1, and in training a list of targets; no parameter
    has a row per class, since all classes are in class order."""
    loaded: int
    """Tensors of the backbone that were taken from pretrained weights."""
    first_label: int
    """What class 0 is called: 1 where 0 is the background."""

    @property
    def tensors(self) -> int:
        """The tensors of the backbone without its pyramid."""
        return len(self.network.module.get_submodule("backbone.body").state_dict())


@dataclass(frozen=True)
class Found:
    """What a detector finds in an image: K boxes, the most certain first."""

    boxes: Tensor
    """float32 [K, 4]: left, top, right and bottom in pixels."""
    classes: Tensor
    """int64 [K]: class indices."""
    scores: Tensor
    """float32 [K], 0 to 1."""


class _AsGiven(GeneralizedRCNNTransform):  # type: ignore[misc]
    """torchvision's step from images to a batch without its random resizing: ours come in their size."""

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        """Return both as they are."""
        return image, target


def build_detector(config: Config, classes: int) -> Detector:
    """Return a new detector of C classes, its backbone with the initial weights that the settings name.

    Raises:
        TrainError: the model has no feature maps for a detector, or the weights do not fit it.
    """
    model, head = config.model, config.detection.head
    maps = open_feature_maps(model, _STRIDES[head])
    if config.detection.frozen_norm:
        freeze_norms(maps.module)
    normalization = normalization_of(model.name, model.inputs)
    build = _retinanet if head == RETINANET else _faster_rcnn
    module = build(maps, classes, config.detection.width)
    module.transform = _as_given(normalization)
    for name in _FROM_MAPS[head]:  # whatever comes after is in pixels, for which half precision is too coarse
        module.get_submodule(name).register_forward_hook(lambda _module, _inputs, outputs: _in_float32(outputs))
    network = Network(
        name=model.name,
        module=module,
        head=frozenset(),
        order=flat_order(classes),
        normalization=normalization,
        channels_last=model.channels_last,
    )
    return Detector(network, maps.loaded, first_label_of(head))


def first_label_of(head: str) -> int:
    """Return what a detector calls class 0: to Faster R-CNN, 0 is the background."""
    return 0 if head == RETINANET else 1


def detect(detector: Detector, images: Sequence[Tensor]) -> list[Found]:
    """Return what a detector in eval mode finds in images, uint8 [3, H, W] on its device."""
    found: list[Mapping[str, Tensor]] = detector.network.module([each.float() / 255 for each in images])
    return [
        Found(each["boxes"].float(), each["labels"] - detector.first_label, each["scores"].float()) for each in found
    ]


def losses_of(
    module: nn.Module, images: Sequence[Tensor], targets: Sequence[tuple[Tensor, Tensor]], first: int
) -> Tensor:
    """Return the sum of a detector's losses, a scalar.

    Args:
        module: the detector's, or what wraps it.
        images: uint8 [3, H, W] each, on the device.
        targets: float32 [K, 4] of left, top, right and bottom, and int64 [K] of class indices, for each.
        first: what class 0 is called.
    """
    told = [{"boxes": boxes, "labels": classes + first} for boxes, classes in targets]
    losses: Mapping[str, Tensor] = module([each.float() / 255 for each in images], told)
    return torch.stack([each.float() for each in losses.values()]).sum()


def _in_float32(outputs: Any) -> Any:
    """Return tensors in any nesting of dicts, lists and tuples as float32."""
    if isinstance(outputs, Mapping):
        return {key: _in_float32(each) for key, each in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        return type(outputs)(map(_in_float32, outputs))
    return outputs.float()


def _as_given(normalization: Normalization) -> _AsGiven:
    mean, std = list(normalization.mean), list(normalization.std)
    return _AsGiven(min_size=0, max_size=0, image_mean=mean, image_std=std)


def _retinanet(maps: FeatureMaps, classes: int, width: int) -> nn.Module:
    strides = maps.strides if len(maps.strides) > 1 else _STRIDES[RETINANET]
    pyramid = Pyramid(maps, strides, width, LastLevelP6P7(width, width))
    levels = (*strides, 2 * strides[-1], 4 * strides[-1])
    sizes = tuple(tuple(int(4 * stride * 2 ** (third / 3)) for third in range(3)) for stride in levels)
    module: nn.Module = RetinaNet(pyramid, classes, anchor_generator=AnchorGenerator(sizes, (_RATIOS,) * len(levels)))
    return module


def _faster_rcnn(maps: FeatureMaps, classes: int, width: int) -> nn.Module:
    strides = maps.strides if len(maps.strides) > 1 else _STRIDES[FASTER_RCNN]
    pyramid = Pyramid(maps, strides, width, LastLevelMaxPool())
    levels = (*strides, 2 * strides[-1])
    anchors = AnchorGenerator(tuple((8 * stride,) for stride in levels), (_RATIOS,) * len(levels))
    names = [str(level) for level in range(len(strides))]
    module: nn.Module = FasterRCNN(
        pyramid,
        classes + 1,
        rpn_anchor_generator=anchors,
        box_roi_pool=MultiScaleRoIAlign(names, output_size=7, sampling_ratio=2),
    )
    return module
