"""Transfer: a pretrained network on new classes, by fine-tuning or by a linear probe (paper, section 5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from in21k.train.data.fraction import with_fraction
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_data import DataRequest, open_data, require_apart, require_two_classes
from in21k.train.data.prepared.dataset import Dataset
from in21k.train.errors import TrainError
from in21k.train.losses.schemes import FOR_ANY_LABELS
from in21k.train.model.architectures import TIMM_PREFIX
from in21k.train.model.model_file import check_classifier, read_metadata
from in21k.train.model.published import timm_size
from in21k.train.recipes.choice import Choice
from in21k.train.recipes.recipe import Recipe, open_recipe
from in21k.train.run.checkpoint import find_model
from in21k.train.trainer.loop import train_on
from in21k.train.transfer.probe import probe

IMAGE_SIZE, BATCH_SIZE = "data.image_size", "data.batch_size"
STEPS = 4
"""Steps that an epoch of few images has at least, unless the command or its recipe says their batch."""
FOR_ONE_LABEL = {False: "transfer-single-label", True: "transfer-distillation"}
"""The recipes for one class per image, without and with a teacher."""
FOR_VIDEOS = "transfer-video"
_OF_CLIPS_NETWORK = ("frames", "aggregate", "layers", "heads")


@dataclass(frozen=True)
class TransferRequest:
    """What to transfer, to which data, and how."""

    data: DataRequest
    checkpoint: str
    """A run's folder, a checkpoint's folder, a file of weights, or timm:NAME for timm's weights."""
    recipe: Recipe | None = None
    """By default the one for the data's kind of labels, and for a teacher if there is one."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Settings that override the recipe's, by dotted key."""
    probe: bool = False
    """Fit a linear classifier to frozen features instead of fine-tuning all weights."""
    keep_features: bool = False
    """Also write the features of a probe, or of k-NN, into the run's folder."""


def transfer(request: TransferRequest, run: Path, *, resume: bool = False) -> dict[str, Any] | None:
    """Transfer a network and return the run's summary; None on all ranks but the first.

    Raises:
        DatasetError: the data, the checkpoint or the run's folder is not usable.
    """
    if request.probe and resume:
        raise TrainError("a linear probe cannot be resumed; give another --output")
    data, choice = open_request(request, run)
    if request.probe and choice.config.distill.teacher:
        raise TrainError("a linear probe learns from no teacher; leave --teacher out, or fine-tune without --probe")
    if request.probe and not data.is_single_label and (data.label_sets < -1).any():
        raise TrainError(
            f"{data.name} knows only some classes of each image, which a linear probe does not take; fine-tune"
        )
    if request.probe:
        data = with_fraction(data, choice.config.data.fraction)
        return probe(data, run, choice.config, given=request.values, keep_features=request.keep_features)
    return train_on(lambda: data, run, choice, resume=resume)


def open_request(request: TransferRequest, run: Path) -> tuple[TrainingData, Choice]:
    """Return the data of a request, and the recipe with the values that the checkpoint and the request give.

    Raises:
        DatasetError: the data or the checkpoint is not usable, or the run's folder lies among the images.
    """
    require_start(request)
    data = open_data(request.data)
    if not isinstance(data, Dataset):  # a prepared dataset is a place that markers guard
        require_apart(request.data.path, run)
    require_two_classes(data)
    return data, _choice(request, data)


def _choice(request: TransferRequest, data: TrainingData) -> Choice:
    """Return the recipe, with the values that the checkpoint and the request give."""
    is_video = data.decoding(1).is_video
    recipe = request.recipe or open_recipe(_recipe_for(data, is_taught=bool(request.values.get("distill.teacher"))))
    start = start_values(request, is_video=is_video)
    if recipe.config.data.image_size:  # the recipe's size counts, not the checkpoint's
        start.pop(IMAGE_SIZE, None)
    choice = Choice(recipe, request.values, start, is_named=request.recipe is not None)
    if choice.is_named or BATCH_SIZE in request.values:
        return choice
    images = int(data.samples("train") * choice.config.data.fraction)
    return replace(choice, data=batch_for(images, choice.config.data.batch_size))


def batch_for(images: int, batch_size: int) -> dict[str, int]:
    """Return the batch of few training images by its dotted key: a power of two that makes `STEPS` steps an epoch.

    Where the recipe's own batch makes as many, it stays, and nothing is returned.
    """
    if images >= STEPS * batch_size:
        return {}
    return {BATCH_SIZE: 1 << max((images // STEPS).bit_length() - 1, 0)}


def _recipe_for(data: TrainingData, *, is_taught: bool) -> str:
    """Return the name of the recipe for data, without or with a teacher."""
    if data.decoding(1).is_video:
        return FOR_VIDEOS
    return (FOR_ONE_LABEL if data.is_single_label else FOR_ANY_LABELS)[is_taught]


def require_start(request: TransferRequest) -> None:
    """Refuse a checkpoint or a model that there is not, before the data are opened.

    Raises:
        TrainError: there is no checkpoint, or timm has no such model.
    """
    if request.checkpoint.startswith(TIMM_PREFIX):
        timm_size(request.checkpoint.removeprefix(TIMM_PREFIX))
    else:
        find_model(Path(request.checkpoint))
    if named := request.values.get("model.name"):
        timm_size(named)


def start_values(request: TransferRequest, *, is_video: bool = False) -> dict[str, Any]:
    """Return the settings that follow from the checkpoint, by dotted key: model, weights and image size.

    Raises:
        TrainError: there is no checkpoint, or it does not say its model.
    """
    if request.checkpoint.startswith(TIMM_PREFIX):
        name = request.checkpoint.removeprefix(TIMM_PREFIX)
        return {"model.name": name, "model.pretrained": True, "model.new_head": True, **_size_of(name)}
    path = find_model(Path(request.checkpoint))
    start: dict[str, Any] = {"model.init": str(path), "model.new_head": True}
    if named := request.values.get("model.name"):
        return start | _size_of(named)
    metadata = read_metadata(path)
    check_classifier(path, metadata)
    if metadata.config.video.frames and not is_video:
        raise TrainError(f"{path} is a model of videos, and {request.data.path} holds images; name a model of images")
    if metadata.config.video.frames:  # with what its weights are shaped by
        start |= {f"video.{name}": getattr(metadata.config.video, name) for name in _OF_CLIPS_NETWORK}
    return start | {"model.name": metadata.model, IMAGE_SIZE: metadata.image_size}


def _size_of(name: str) -> dict[str, Any]:
    return {IMAGE_SIZE: size} if (size := timm_size(name)) else {}
