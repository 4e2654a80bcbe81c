"""A trained model, read from its checkpoint, with its classes by name."""

from dataclasses import dataclass, replace
from pathlib import Path

from in21k.train.checkpoint import ModelCard, find_model, load_tensors, read_card
from in21k.train.class_table import ClassTable, find_class_table
from in21k.train.errors import TrainError, one_line
from in21k.train.levels import LevelOrder, level_order
from in21k.train.model import Network, build_network


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network on the CPU, in eval mode, and what it was trained on."""

    path: Path
    """Its file of weights."""
    card: ModelCard
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
    card = read_card(path)
    classes = find_class_table(path, data, hierarchy)
    classes.check(path, card.class_list_sha256)
    network = load_network(path, card, level_order(classes.hierarchy), card.image_size)
    network.module.eval()
    return TrainedModel(path, card, network, classes)


def load_network(path: Path, card: ModelCard, order: LevelOrder, image_size: int) -> Network:
    """Return the network of a file of weights, on the CPU.

    Args:
        path: the file.
        card: what it says of itself.
        order: the level order of its classes.
        image_size: side of the images in pixels, for models that fix theirs.

    Raises:
        TrainError: the weights are not the model's that the card names, or not of this image size.
    """
    network = build_network(replace(card.config.model, pretrained=False, init=""), order, image_size)
    try:
        network.load(load_tensors(path))
    except RuntimeError as error:
        raise TrainError(
            f"{path} does not fit timm's {card.model} at {image_size} pixels: {one_line(error)}"
        ) from error
    return network
