"""A trained model, read from its checkpoint, with its classes by name."""

from dataclasses import dataclass
from pathlib import Path

from in21k.train.model.level_order import level_order
from in21k.train.model.model_file import ModelMetadata, load_network, read_metadata
from in21k.train.model.network import Network
from in21k.train.run.checkpoint import find_model
from in21k.train.use.class_table import ClassTable, find_class_table


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network on the CPU, in eval mode, and what it was trained on."""

    path: Path
    """Its file of weights."""
    card: ModelMetadata
    network: Network
    classes: ClassTable


def open_trained(checkpoint: Path, data: str = "", hierarchy: str = "") -> TrainedModel:
    """Return the model of a checkpoint.

    Args:
        checkpoint: a run's folder, a checkpoint's, an exported one, or a file of weights.
        data: the dataset that says what the classes are called, where no table lies beside the model.
        hierarchy: the table itself.

    Raises:
        DatasetError: the checkpoint or the table cannot be read, or they do not belong together.
    """
    path = find_model(checkpoint)
    card = read_metadata(path)
    classes = find_class_table(path, data, hierarchy)
    classes.check(path, card.class_list_sha256)
    network = load_network(path, level_order(classes.hierarchy))
    return TrainedModel(path, card, network, classes)
