"""A trained model with the names of its classes."""

from dataclasses import dataclass
from pathlib import Path

from in21k.train.config.detection_settings import NO_HEAD
from in21k.train.errors import TrainError
from in21k.train.model.level_order import level_order
from in21k.train.model.model_file import MODEL, ModelMetadata, load_network, read_metadata
from in21k.train.model.network import Network
from in21k.train.run.checkpoint import find_model
from in21k.train.use.class_table import ClassTable, find_class_table
from in21k.train.use.onnx_network import ONNX, onnx_device, read_onnx


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network on the CPU and in eval mode, its metadata and its classes."""

    path: Path
    """The model file, or the ONNX file."""
    metadata: ModelMetadata
    network: Network
    classes: ClassTable


def open_trained(checkpoint: Path, data: str = "", hierarchy: str = "", *, takes_clips: bool = False) -> TrainedModel:
    """Return the model of a checkpoint.

    Args:
        checkpoint: a run's folder, a checkpoint's, an exported model's, a model file, or an exported ONNX file; of an
            exported folder, the ONNX file counts if it is all that is left.
        data: folder or URI of the dataset that names the classes, if no table is beside the model.
        hierarchy: path or URI of the table.
        takes_clips: whether it may be a model of videos.

    Raises:
        DatasetError: the model file or the table cannot be read, or their classes differ.
    """
    path = find_onnx(checkpoint) or find_model(checkpoint)
    metadata, network = read_onnx(path) if is_onnx(path) else (read_metadata(path), None)
    classes = find_class_table(path, data, hierarchy)
    classes.check(path, metadata.class_list_sha256)
    if network is None:
        network = load_network(path, level_order(classes.hierarchy), takes_clips=takes_clips)
    return TrainedModel(path, metadata, network, classes)


def is_of_videos(checkpoint: Path) -> bool:
    """Return whether the model of a checkpoint takes videos.

    Raises:
        TrainError: there is no model file, or it cannot be read.
    """
    return find_onnx(checkpoint) is None and read_metadata(find_model(checkpoint)).config.video.frames > 0


def is_onnx(path: Path) -> bool:
    """Return whether a file is taken for an ONNX file, by its name."""
    return path.suffix.lower() == ".onnx"


def find_onnx(checkpoint: Path) -> Path | None:
    """Return the ONNX file that a path stands for: the file itself, or that of a folder without a model file."""
    if is_onnx(checkpoint):
        return checkpoint
    left = checkpoint / ONNX
    return left if left.is_file() and not (checkpoint / MODEL).is_file() else None


def is_detector(checkpoint: Path) -> bool:
    """Return whether a checkpoint is a detector's; one that cannot be read is not."""
    if find_onnx(checkpoint):
        return False
    try:
        return read_metadata(find_model(checkpoint)).config.detection.head != NO_HEAD
    except TrainError:
        return False


def device_choice(model: TrainedModel, device: str) -> str:
    """Return the choice of device (auto, cpu or cuda) for a model; onnxruntime may have no support for a GPU.

    Raises:
        TrainError: CUDA is asked for, and onnxruntime has no support for it.
    """
    return onnx_device(device) if is_onnx(model.path) else device
