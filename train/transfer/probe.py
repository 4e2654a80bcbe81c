"""A linear probe: a linear classifier on the features of a frozen network."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from in21k.shards_manifest.storage.local_files import atomic_path, write_atomic
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.precision import full_precision
from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.class_scores import ClassScores, write_class_scores
from in21k.train.evaluation.predictions import PredictionCollector
from in21k.train.evaluation.scheme_metrics import SchemeMetrics
from in21k.train.evaluation.val_pass import NO_VAL
from in21k.train.model.model_file import MODEL, metadata_of, save_model, write_tensors
from in21k.train.model.network import Network
from in21k.train.run.folder import SUMMARY
from in21k.train.transfer.features import FEATURES, Features, as_tensors, classifier_of, extract, labels_of
from in21k.train.transfer.frozen import frozen_run
from in21k.train.transfer.linear_fit import BlockLogits, Chosen, Linear, fit_choosing, workspace_bytes
from in21k.train.transfer.row_blocks import row_blocks

_SCORED = 1 << 20
"""Logits scored at a time, for the copies that mean average precision makes of them."""


def probe(data: TrainingData, run: Path, config: Config, *, keep_features: bool = False) -> dict[str, Any]:
    """Fit a linear classifier to a frozen network's features of the train split; return the summary with its scores.

    The run's folder gets config.json, val_classes.csv, model.safetensors (the network with that classifier) and, last,
    summary.json.

    Args:
        data: to fit to and to evaluate on.
        run: the run's folder, which must not hold a run.
        config: the network with its weights, and how images are read.
        keep_features: also write features.safetensors.

    Raises:
        TrainError: the network or its weights are not usable, or there are several ranks.
    """
    began = time.perf_counter()
    with frozen_run(data, run, config, "a linear probe") as frozen:
        network, config, ranks = frozen.network, frozen.config, frozen.ranks
        room = workspace_bytes(*classifier_of(network).weight.flatten(1).shape)
        train, val = (extract(network, data, split, config, ranks, room) for split in ("train", "val"))
        with full_precision(ranks.device):
            chosen = _fitted(train, data, network, ranks)
            scores, by_class = _val_scores(chosen, val, data, network, ranks)
            if config.run.save_predictions and by_class is not None:
                _save_predictions(run, chosen, val, data, network, ranks)
    if keep_features:
        with atomic_path(run / FEATURES) as temporary:
            write_tensors(temporary, as_tensors(train=train, val=val))
    if by_class is not None:
        write_class_scores(run, data, by_class)
    _put_into(network, chosen.linear)
    save_model(run / MODEL, metadata_of(config, data, step=0), network.weights())
    seconds = round(time.perf_counter() - began, 2)
    summary = _summary(run, config, data, train, val, chosen) | {**scores, "seconds": seconds}
    write_atomic(run / SUMMARY, json.dumps(summary, indent=1).encode() + b"\n")
    return summary


def _fitted(train: Features, data: TrainingData, network: Network, ranks: Ranks) -> Chosen:
    """Return the classifier, its strength chosen by the data's metric."""

    def score(logits: BlockLogits) -> float:
        return _scores(logits, train.label_ids, data, network, ranks)[0][_metric(data)]

    return fit_choosing(train.values, labels_of(train, data, ranks.device), score, ranks.device)


def _val_scores(
    chosen: Chosen, val: Features, data: TrainingData, network: Network, ranks: Ranks
) -> tuple[dict[str, Any], ClassScores | None]:
    """Return the scores on the val split as the summary has them, or that there is none, and those of each class."""
    if not len(val.values):
        return NO_VAL, None
    logits = BlockLogits(chosen.linear, row_blocks(val.values, len(data.hierarchy), ranks.device))
    scores, by_class = _scores(logits, val.label_ids, data, network, ranks)
    return {f"val_{name}": value for name, value in scores.items()}, by_class


def _save_predictions(
    run: Path, chosen: Chosen, val: Features, data: TrainingData, network: Network, ranks: Ranks
) -> None:
    """Write what the classifier says of each image of the val split."""
    collector = PredictionCollector(data, network.order, _scheme(data), ranks)
    logits = BlockLogits(chosen.linear, row_blocks(val.values, len(data.hierarchy), ranks.device))
    for batch in _batches(logits, val.label_ids, network):
        collector.update(*batch)
    collector.save(run, val.missing)


def _scheme(data: TrainingData) -> str:
    return "single-label" if data.is_single_label else "multi-label"


def _metric(data: TrainingData) -> str:
    return "top1" if data.is_single_label else "map"


def _scores(
    logits: BlockLogits, label_ids: Tensor, data: TrainingData, network: Network, ranks: Ranks
) -> tuple[dict[str, float], ClassScores]:
    """Return the metrics of logits in class order, each 0 to 1, as a val pass computes them, and the class scores."""
    metrics = SchemeMetrics(data, network.order, _scheme(data), ranks)
    for batch in _batches(logits, label_ids, network):
        metrics.update(*batch)
    if metrics.wants_second_pass:
        metrics.seal()
        for batch in _batches(logits, label_ids, network):
            metrics.count_again(*batch)
    result = metrics.result()
    return {name: value for name, value in result.metrics.items() if value is not None}, result.by_class


def _batches(logits: BlockLogits, label_ids: Tensor, network: Network) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield logits in level order, label ids, and that all of them are valid."""
    images_at_a_time = max(_SCORED // len(network.order), 1)
    for block, images in logits:
        rows = network.order.to_rows(block, dim=1)
        split = (torch.split(each, images_at_a_time) for each in (rows, label_ids[images]))
        for each, ids in zip(*split, strict=True):
            yield each, ids, torch.ones_like(ids, dtype=torch.bool)


def _put_into(network: Network, linear: Linear) -> None:
    """Copy a linear classifier into the network."""
    layer = classifier_of(network)
    with torch.no_grad():
        for parameter, by_class in ((layer.weight, linear.weight), (layer.bias, linear.bias)):
            assert isinstance(parameter, torch.Tensor)
            parameter.copy_(network.order.to_rows(by_class).reshape(parameter.shape))


def _summary(
    run: Path, config: Config, data: TrainingData, train: Features, val: Features, chosen: Chosen
) -> dict[str, Any]:
    return {
        "run": str(run),
        "checkpoint": str(run / MODEL),
        "model": config.model.name,
        "scheme": "linear-probe",
        "classes": len(data.hierarchy),
        "image_size": config.data.image_size,
        "features": train.values.shape[1],
        "train_images": len(train.values),
        "skipped_images": train.skipped,
        "l2": chosen.strength,
        "held_out_scores": {f"{strength:.3g}": value for strength, value in chosen.scores.items()},
        "val_images": len(val.values),
        "val_skipped": val.skipped,
    }
