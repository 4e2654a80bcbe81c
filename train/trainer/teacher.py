"""The teacher of a distilling run: a trained, frozen network with its logits in the student's order."""

from pathlib import Path

import torch
from torch import Tensor, nn

from in21k.train.config.settings import Config, DistillConfig
from in21k.train.config.sizes import schedule_of
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.precision import autocast
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.losses.schemes import DISTILLING
from in21k.train.model.architectures import find_architecture
from in21k.train.model.level_order import LevelOrder
from in21k.train.model.model_file import load_network, read_metadata
from in21k.train.model.network import Network, require_sizes
from in21k.train.model.on_device import prepare_network
from in21k.train.model.published import PublishedModel, published_network, published_settings
from in21k.train.run.checkpoint import find_model


class Teacher(nn.Module):
    """A frozen network: it never changes, and no gradient flows through it."""

    def __init__(self, network: Network, config: Config, ranks: Ranks) -> None:
        super().__init__()
        self._network, self._run, self._device = prepare_network(network, ranks), config.run, ranks.device
        self._network.module.eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return the teacher logits, [B, C] in level order.

        Args:
            images: uint8 [B, 3, H, W], the student's; they get the teacher's own normalization.
        """
        with autocast(self._device, self._run.amp, self._run.amp_dtype):
            logits: Tensor = self._network.module(self._network.inputs(images, self._device))
        return logits


def open_teacher(config: Config, data: TrainingData, order: LevelOrder, ranks: Ranks) -> Teacher | None:
    """Return the teacher of a run on the device; None for schemes without one.

    Args:
        config: of the run, resolved.
        data: the student's training data.
        order: the level order of its classes.
        ranks: this rank among the others.

    Raises:
        TrainError: the scheme needs a teacher and none is given, or has no use for the one given; or the teacher's
            weights cannot be loaded, or its classes are not the data's.
    """
    distill = config.distill
    if config.loss.scheme not in DISTILLING:
        if distill.teacher:
            raise TrainError(
                f"loss.scheme={config.loss.scheme} has no use for the teacher {distill.teacher}; use a distilling "
                f"recipe or leave --teacher out"
            )
        return None
    if not distill.teacher:
        raise TrainError(
            f"loss.scheme={config.loss.scheme} needs a teacher; pass --teacher with a run or a model of timm"
        )
    sizes = schedule_of(config.data.image_size)
    is_file = Path(distill.teacher).exists()
    network = _trained(distill, data, order, sizes.last) if is_file else _published(distill, data, sizes.last)
    require_sizes(network, sizes.sizes)
    return Teacher(network, config, ranks)


def _trained(distill: DistillConfig, data: TrainingData, order: LevelOrder, size: int) -> Network:
    """Return the network of a checkpoint of in21k."""
    if distill.teacher_weights:
        raise TrainError(f"{distill.teacher} has its own weights; leave --teacher-weights out")
    path = find_model(Path(distill.teacher))
    metadata = read_metadata(path)
    if (metadata.num_classes, metadata.class_list_sha256) != (len(data.hierarchy), data.class_list_sha256):
        raise TrainError(
            f"the {metadata.num_classes} classes of the teacher {path} are not the {len(data.hierarchy)} of "
            f"{data.name}; give a teacher that was trained on the student's classes"
        )
    return load_network(path, order, size)


def _published(distill: DistillConfig, data: TrainingData, size: int) -> Network:
    """Return a model of timm, or of the paper, with its published classifier."""
    if "/" in distill.teacher and find_architecture(distill.teacher) is None:
        raise TrainError(f"{distill.teacher}: there is no such run or file of weights; give another --teacher")
    file = Path(distill.teacher_weights) if distill.teacher_weights else None
    settings = published_settings(PublishedModel(distill.teacher, file, option="--teacher-weights"))
    return published_network(settings, file, data.hierarchy, size)
