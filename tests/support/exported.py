"""Exports of any architecture, with random weights, of which no layer gives zeros."""

from pathlib import Path

import numpy as np
import torch
from small_dataset import WNIDS

from in21k.shards_manifest.manifest import HIERARCHY
from in21k.train.config.overrides import with_values
from in21k.train.model.level_order import level_order
from in21k.train.model.model_file import MODEL, ModelMetadata, save_model
from in21k.train.model.network import build_network
from in21k.train.publish.export import ExportOptions, export
from in21k.train.recipes import read_recipe
from in21k.train.use.trained_model import TrainedModel, open_trained
from in21k.tree.class_lists import class_list_digest
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, wordnet_hierarchy, write_table


def random_model(folder: Path, name: str, size: int, **settings: object) -> TrainedModel:
    """A model in the folder, whose weights and batch norms are random, as if it had been trained."""
    folder.mkdir()
    hierarchy = wordnet_hierarchy(tuple(WNIDS))
    counts = np.zeros(len(hierarchy), np.int64)
    write_table(hierarchy_table(hierarchy, ParentRule.PUBLISHED, counts, counts), folder / HIERARCHY)
    values = {"model.name": name, "data.image_size": size, **settings}
    config = with_values(read_recipe("semantic-softmax"), values)
    torch.manual_seed(0)
    network = build_network(config.model, level_order(hierarchy), size)
    with torch.no_grad():
        for key, tensor in network.module.state_dict().items():
            if key.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif key.endswith("running_mean"):
                tensor.normal_(std=0.1)
        for head in network.head:
            network.module.get_parameter(head).normal_(std=0.05)
    metadata = ModelMetadata(name, len(hierarchy), size, class_list_digest(hierarchy.wnids), 1, config)
    save_model(folder / MODEL, metadata, network.weights())
    return open_trained(folder)


def exported(folder: Path, name: str, size: int, options: ExportOptions | None = None, **how: object) -> TrainedModel:
    """A random model, exported to `out` in the folder."""
    model = random_model(folder / "model", name, size, **how)
    export(model, folder / "out", options or ExportOptions())
    return model
