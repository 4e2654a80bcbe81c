"""What published models score on the val split of a prepared dataset."""

from dataclasses import replace
from typing import Any

from in21k.train.config import Config, DataConfig, RunConfig
from in21k.train.dataset import open_dataset
from in21k.train.distributed import join_ranks
from in21k.train.evaluation import evaluate_val
from in21k.train.losses import build_loss
from in21k.train.published import PublishedModel, published_network, published_settings
from in21k.train.session_setup import resolved
from in21k.train.sources import read_options
from in21k.train.stream import default_workers


def evaluate_published(data: str, model: PublishedModel, settings: DataConfig, run: RunConfig) -> dict[str, Any] | None:
    """Return what a published model scores on the val split of a dataset, and None on all processes but the first.

    The classes of its classifier that the dataset has are kept, in the dataset's order; the others are left out.

    Args:
        data: the dataset's folder or URI.
        model: which, and its weights.
        settings: image size (0: the dataset's) and eval batch size.
        run: device, precision, workers.

    Raises:
        DatasetError: the dataset cannot be read.
        TrainError: the weights cannot be had or do not fit, or the classifier lacks classes of the dataset.
    """
    model_config = published_settings(model)
    with join_ranks(run.device) as ranks:
        dataset = open_dataset(data)
        workers = default_workers(ranks.local_world_size) if run.workers < 0 else run.workers
        config = resolved(Config(model_config, settings, run=replace(run, workers=workers)), dataset)
        network = published_network(config.model, model.weights, dataset.hierarchy, config.data.image_size)
        network.module.to(ranks.device)
        loss = build_loss(config, network.order, dataset.label_sets).to(ranks.device)
        with dataset.cached(read_options(config.data)):
            evaluation = evaluate_val(network, loss, dataset, config, ranks)
    weights = str(model.weights) if model.weights else "timm's"
    return {"model": network.name, "weights": weights, **evaluation.to_dict(dataset)} if ranks.is_first else None
