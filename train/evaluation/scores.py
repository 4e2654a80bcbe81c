"""What published models score on the val split of a prepared dataset."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from in21k.train.config.settings import Config, DataConfig, RunConfig
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.backend import prepare_backend
from in21k.train.device.ranks import join_ranks
from in21k.train.evaluation.val_pass import evaluate_val
from in21k.train.losses.schemes import build_loss
from in21k.train.model.level_order import level_order
from in21k.train.model.model_file import check_classes, load_network, read_metadata
from in21k.train.model.published import PublishedModel, published_network, published_settings
from in21k.train.run.checkpoint import find_model
from in21k.train.run.resolve import resolved, with_workers
from in21k.train.stream.source import read_options


def evaluate_checkpoint(
    data: str, checkpoint: Path, settings: DataConfig, run: RunConfig, *, raw: bool = False
) -> dict[str, Any] | None:
    """Return what a checkpoint scores on the val split of a dataset, and None on all processes but the first.

    Args:
        data: the dataset's folder or URI.
        checkpoint: a run's folder, a checkpoint's folder, or a file of weights.
        settings: image size (0: the checkpoint's) and eval batch size.
        run: device, precision, workers.
        raw: measure the weights themselves where the run kept their average, too.

    Raises:
        DatasetError: the dataset or the checkpoint cannot be read.
        TrainError: the checkpoint is damaged, or its classes are not the dataset's.
    """
    path = find_model(checkpoint, raw=raw)
    card = read_metadata(path)
    with join_ranks(run.device) as ranks:
        prepare_backend(run, ranks.device)
        dataset = open_dataset(data)
        check_classes(path, card, len(dataset.hierarchy), dataset.class_list_sha256)
        size = settings.image_size or card.image_size
        config = replace(
            card.config,
            model=replace(card.config.model, pretrained=False, init=""),
            data=replace(settings, image_size=size),
            run=with_workers(run, ranks),
        )
        order = level_order(dataset.hierarchy)
        network = load_network(path, order, size)
        network.module.to(ranks.device)
        loss = build_loss(config.loss, order, dataset.label_sets).to(ranks.device)
        with dataset.cached(read_options(config.data)):
            evaluation = evaluate_val(network, loss, dataset, config, ranks)
    return {"checkpoint": str(path), "model": card.model, **evaluation.to_dict(dataset)} if ranks.is_first else None


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
        config = resolved(Config(model_config, settings, run=run), dataset, ranks)
        network = published_network(config.model, model.weights, dataset.hierarchy, config.data.image_size)
        network.module.to(ranks.device)
        loss = build_loss(config.loss, network.order, dataset.label_sets).to(ranks.device)
        with dataset.cached(read_options(config.data)):
            evaluation = evaluate_val(network, loss, dataset, config, ranks)
    weights = str(model.weights) if model.weights else "timm's"
    return {"model": network.name, "weights": weights, **evaluation.to_dict(dataset)} if ranks.is_first else None
