"""Model files: weights as safetensors, classes in class order, with a description of the model in the metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.config.detection_settings import NO_HEAD
from in21k.train.config.records import Record, parse_record
from in21k.train.config.settings import Config
from in21k.train.config.sizes import schedule_of
from in21k.train.data.interfaces import TrainingData
from in21k.train.errors import TrainError
from in21k.train.model.clips import build_for
from in21k.train.model.level_order import LevelOrder, flat_order
from in21k.train.model.network import Network
from in21k.train.model.weights import Weights, host_copies

MODEL = "model.safetensors"

MAX_CLASSES = 1 << 24
"""The most classes that a model file may claim."""

MAX_SIZE = 1 << 16
"""The largest side of its images in pixels."""


@dataclass(frozen=True)
class ModelMetadata:
    """What a model file says about its model."""

    model: str
    """timm's name."""
    num_classes: int
    image_size: int
    """Side of the training images in pixels, at the end where it changed."""
    class_list_sha256: str
    """SHA-256 of the wnids in order of class index."""
    step: int
    """Steps trained; 0 for a linear probe."""
    config: Config
    """Configuration of the run."""


def metadata_of(config: Config, data: TrainingData, step: int) -> ModelMetadata:
    """Return the metadata of a model after `step` steps on this data under a resolved configuration."""
    return ModelMetadata(
        model=config.model.name,
        num_classes=len(data.hierarchy),
        image_size=schedule_of(config.data.image_size).last,
        class_list_sha256=data.class_list_sha256,
        step=step,
        config=config,
    )


def save_model(path: Path, metadata: ModelMetadata, weights: Weights) -> None:
    """Write a model file atomically.

    Args:
        path: the file.
        metadata: describes the model.
        weights: by name, classes in class order.

    Raises:
        DatasetError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        write_tensors(temporary, host_copies(weights), metadata)


def write_tensors(path: Path, tensors: Weights, metadata: ModelMetadata | None = None) -> None:
    """Write a safetensors file in place, with a model's metadata if it is given.

    Args:
        path: the file.
        tensors: contiguous, on the CPU, none of which shares its memory with another; `host_copies` makes such.
        metadata: of a model.

    Raises:
        OSError: the file cannot be written.
        SafetensorError: likewise.
    """
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path, {"format": "pt", **metadata_texts(metadata)} if metadata else None)
    path.chmod(mode)  # safetensors lets nobody but its owner read a file; ours are as readable as all others


def load_tensors(path: Path) -> Weights:
    """Return the tensors of a safetensors file.

    Raises:
        TrainError: the file is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error


def check_tensors(path: Path) -> None:
    """Refuse a safetensors file that is missing or cut off, without reading its tensors.

    Raises:
        TrainError: it is.
    """
    try:
        with safe_open(path, "pt"):
            pass
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error


def read_metadata(path: Path) -> ModelMetadata:
    """Return the metadata of a model file.

    Raises:
        TrainError: the file is damaged, or was not written by in21k.
    """
    try:
        with safe_open(path, "pt") as file:
            stored = file.metadata() or {}
        return parse_metadata(path, stored)
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error


def parse_metadata(path: Path, stored: Mapping[str, str]) -> ModelMetadata:
    """Return the metadata that `metadata_texts` wrote.

    Args:
        path: the file that it comes from, for messages.
        stored: texts by name; others than the metadata's are ignored.

    Raises:
        TrainError: a text is missing.
        ValueError: one is not what it should be.
    """
    if lacking := [field.name for field in fields(ModelMetadata) if field.name not in stored]:
        raise TrainError(f"{path} is not a model file of in21k: its metadata lacks {lacking[0]!r}")
    numbers = {key: int(stored[key]) for key in ("num_classes", "image_size", "step")}
    record = Record({**stored, **numbers})
    return ModelMetadata(
        model=record.text("model"),
        num_classes=record.whole("num_classes", 1, MAX_CLASSES),
        image_size=record.whole("image_size", 1, MAX_SIZE),
        class_list_sha256=record.text("class_list_sha256"),
        step=record.whole("step"),
        config=parse_record(stored["config"]).config(),
    )


def check_classes(path: Path, metadata: ModelMetadata, classes: int, class_list_sha256: str) -> None:
    """Refuse a model whose classes are not the dataset's.

    Raises:
        TrainError: the number of classes or the class list differs.
    """
    if metadata.num_classes != classes:
        raise TrainError(
            f"{path} has {metadata.num_classes} classes, the dataset has {classes}; "
            "name the dataset that it was trained on"
        )
    if metadata.class_list_sha256 != class_list_sha256:
        raise TrainError(
            f"the {classes} classes of {path} differ from the dataset's (class list "
            f"{metadata.class_list_sha256[:12]}, the dataset's {class_list_sha256[:12]})"
        )


def check_classifier(path: Path, metadata: ModelMetadata) -> None:
    """Refuse a detector where a classifier is needed.

    Raises:
        TrainError: it is one.
    """
    if metadata.config.detection.head != NO_HEAD:
        raise TrainError(f"{path} is a detector, which only predict and evaluate take; name a classifier's checkpoint")


def load_network(
    path: Path, order: LevelOrder | None = None, image_size: int = 0, *, takes_clips: bool = False
) -> Network:
    """Return the network of a model file, on the CPU and in eval mode.

        network = load_network(Path("runs/r50/checkpoints/step-00001234/model.safetensors"))
        images = torch.zeros(8, 3, 224, 224, dtype=torch.uint8)
        logits = network.module(network.inputs(images, torch.device("cpu")))  # [8, C], in class order

    Args:
        path: a model file of in21k.
        order: the order of the logits: `level_order(hierarchy)` for the losses and metrics of in21k; None keeps class
            order.
        image_size: side of the images in pixels, for architectures that fix it; 0 takes the training images'.
        takes_clips: whether it may be a network for clips of videos.

    Raises:
        TrainError: the file cannot be read, its weights do not fit the model that it names at this image size, or it is
            of clips, and they are not taken.
    """
    metadata = read_metadata(path)
    check_classifier(path, metadata)
    if metadata.config.video.frames and not takes_clips:
        raise TrainError(f"{path} is a model of videos, which transfer, evaluate and predict take; name one of images")
    order = order or flat_order(metadata.num_classes)
    size = image_size or metadata.image_size
    model = replace(metadata.config.model, pretrained=False, init="")
    network = build_for(metadata.config.video, model, order, size)
    try:
        network.load(load_tensors(path))
    except RuntimeError as error:
        raise TrainError(f"{path} does not fit timm's {metadata.model} at {size} pixels: {one_line(error)}") from error
    network.module.eval()
    return network


def metadata_texts(metadata: ModelMetadata) -> dict[str, str]:
    """Return the metadata as model files keep it: texts by name."""
    values = asdict(metadata)
    config = json.dumps(values.pop("config"))
    return {**{key: str(value) for key, value in values.items()}, "config": config}
