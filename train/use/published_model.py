"""A published model to predict with: timm's weights by their name, or the authors' by the paper's."""

from pathlib import Path

import timm

from in21k.shards_manifest.storage.location import locate
from in21k.train.config.settings import Config, DataConfig, LossConfig, ModelConfig
from in21k.train.errors import TrainError
from in21k.train.model.architectures import TIMM_PREFIX, find_architecture
from in21k.train.model.hub import Wanted, fetch
from in21k.train.model.model_file import ModelMetadata
from in21k.train.model.published import (
    PublishedModel,
    published_classes,
    published_network,
    published_settings,
    timm_size,
)
from in21k.train.model.weights import read_weights
from in21k.train.use.class_table import ClassTable
from in21k.train.use.trained_model import TrainedModel
from in21k.tree.class_lists import class_list_digest
from in21k.tree.table import wordnet_hierarchy

_AUTHORS = "miil"
"""In the tags of the authors' weights, which on ImageNet-21K they trained with semantic softmax (paper, 3.3)."""


def open_published(checkpoint: str, weights: Path | None = None) -> TrainedModel:
    """Return a published model with the names of its classes, which its number of outputs tells.

    Args:
        checkpoint: timm:NAME, or a name of the paper's.
        weights: the authors' file; by default timm's weights are taken, which timm downloads.

    Raises:
        TrainError: there is no such model, it has no weights, or its classes are unknown.
    """
    name = checkpoint.removeprefix(TIMM_PREFIX)
    settings = published_settings(PublishedModel(name, weights))
    size = timm_size(settings.name)
    if not size:
        raise TrainError(f"timm does not say how large the images of {settings.name} are; predict with another model")
    if weights is None:
        fetch(
            Wanted(settings.name, "" if checkpoint.startswith(TIMM_PREFIX) else "give their file with --weights FILE")
        )
    wnids = published_classes(_outputs(settings, weights))
    hierarchy = wordnet_hierarchy(wnids)
    network = published_network(settings, weights, hierarchy, size)
    metadata = ModelMetadata(
        model=settings.name,
        num_classes=len(wnids),
        image_size=size,
        class_list_sha256=class_list_digest(wnids),
        step=0,
        config=Config(model=settings, loss=LossConfig(scheme=_scheme(name, settings)), data=_data(settings.name)),
    )
    words = hierarchy.words
    assert words is not None, "WordNet names its nouns"
    classes = ClassTable(locate(name), hierarchy, words.names, words.lemmas, words.glosses)
    return TrainedModel(Path(checkpoint), metadata, network, classes)


def _outputs(settings: ModelConfig, weights: Path | None) -> int:
    """Return the number of outputs of a classifier: the file's, or what timm says of its weights."""
    if weights is None:
        if outputs := timm.models.get_pretrained_cfg_value(settings.name, "num_classes"):
            return int(outputs)
        raise TrainError(f"timm's weights {settings.name} have no classifier; give a model that has one")
    head = timm.models.get_pretrained_cfg_value(settings.name, "classifier")
    names = [f"{each}.weight" for each in ((head,) if isinstance(head, str) else head or ())]
    found = [len(tensor) for name, tensor in read_weights(weights).items() if name in names]
    if not found:
        raise TrainError(f"{weights} has no classifier; give weights that include one")
    return found[0]


def _scheme(name: str, settings: ModelConfig) -> str:
    """Return how a model's logits are probabilities: the authors' of ImageNet-21K have a softmax per level."""
    by_level = find_architecture(name) is not None or (_AUTHORS in settings.name and "in21k" in settings.name)
    return "semantic-softmax" if by_level else "single-label"


def _data(name: str) -> DataConfig:
    linear = timm.models.get_pretrained_cfg_value(name, "interpolation") == "bilinear"
    return DataConfig(interpolation="bilinear" if linear else "bicubic")
