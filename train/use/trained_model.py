"""A trained model with the names of its classes."""

from dataclasses import dataclass
from pathlib import Path

from in21k.train.model.level_order import level_order
from in21k.train.model.model_file import ModelMetadata, load_network, read_metadata
from in21k.train.model.network import Network
from in21k.train.run.checkpoint import find_model
from in21k.train.use.class_table import ClassTable, find_class_table


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network on the CPU and in eval mode, its metadata and its classes."""

    path: Path
    """The model file."""
    metadata: ModelMetadata
    network: Network
    classes: ClassTable


def open_trained(checkpoint: Path, data: str = "", hierarchy: str = "") -> TrainedModel:
    """Return the model of a checkpoint.

    Args:
        checkpoint: a run's folder, a checkpoint's, an exported model's, or a model file.
        data: folder or URI of the dataset that names the classes, if no table is beside the model.
        hierarchy: path or URI of the table.

    Raises:
        DatasetError: the model file or the table cannot be read, or their classes differ.
    """
    path = find_model(checkpoint)
    metadata = read_metadata(path)
    classes = find_class_table(path, data, hierarchy)
    classes.check(path, metadata.class_list_sha256)
    network = load_network(path, level_order(classes.hierarchy))
    return TrainedModel(path, metadata, network, classes)
