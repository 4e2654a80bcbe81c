"""A linear probe: a linear classifier on the features of a frozen network."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.precision import full_precision
from in21k.train.evaluation.class_scores import ClassScores, write_class_scores
from in21k.train.evaluation.val_pass import NO_VAL, val_metrics
from in21k.train.model.model_file import MODEL, metadata_of, save_model
from in21k.train.model.network import Network
from in21k.train.run.folder import SUMMARY
from in21k.train.transfer.features import Features, classifier_of, extract, labels_of, write_features
from in21k.train.transfer.frozen import FrozenRun, frozen_run
from in21k.train.transfer.linear_fit import BlockLogits, Chosen, Linear, fit_choosing, workspace_bytes
from in21k.train.transfer.row_blocks import row_blocks


def probe(
    data: TrainingData, run: Path, config: Config, *, given: Iterable[str] = (), keep_features: bool = False
) -> dict[str, Any]:
    """Fit a linear classifier to a frozen network's features of the train split; return the summary with its scores.

    The run's folder gets config.json, val_classes.csv, model.safetensors (the network with that classifier) and, last,
    summary.json.

    Args:
        data: to fit to and to evaluate on.
        run: the run's folder, which must not hold a run.
        config: the network with its weights, and how images are read.
        given: the settings that the user gave, by dotted key.
        keep_features: also write features.safetensors.

    Raises:
        TrainError: the network or its weights are not usable, or there are several ranks.
    """
    began = time.perf_counter()
    with frozen_run(data, run, config, "a linear probe", given) as frozen:
        network, config, ranks = frozen.network, frozen.config, frozen.ranks
        room = workspace_bytes(*classifier_of(network).weight.flatten(1).shape)
        train, val = (extract(network, data, split, config, ranks, room) for split in ("train", "val"))
        frozen.name_skipped(train=train, val=val)
        with full_precision(ranks.device):
            chosen = _fitted(train, frozen)
            scores, by_class = _val_scores(chosen, val, frozen)
    if keep_features:
        write_features(run, train=train, val=val)
    if by_class is not None:
        write_class_scores(run, data, by_class)
    _put_into(network, chosen.linear)
    save_model(run / MODEL, metadata_of(config, data, step=0), network.weights())
    seconds = round(time.perf_counter() - began, 2)
    summary = _summary(run, config, data, train, val, chosen) | {**scores, "seconds": seconds}
    write_atomic(run / SUMMARY, json.dumps(summary, indent=1).encode() + b"\n")
    return summary


def _fitted(train: Features, frozen: FrozenRun) -> Chosen:
    """Return the classifier, its strength chosen by the data's metric."""

    def score(logits: BlockLogits) -> float:
        found = frozen.scores(logits, train.label_ids).metrics[_metric(frozen.data)]
        assert found is not None
        return found

    device = frozen.ranks.device
    return fit_choosing(train.values, labels_of(train, frozen.data, device), score, device)


def _val_scores(chosen: Chosen, val: Features, frozen: FrozenRun) -> tuple[dict[str, Any], ClassScores | None]:
    """Return the scores on the val split as the summary has them, or that there is none, and those of each class."""
    if not len(val.values):
        return NO_VAL, None
    logits = BlockLogits(chosen.linear, row_blocks(val.values, len(frozen.data.hierarchy), frozen.ranks.device))
    scores = frozen.scores(logits, val.label_ids)
    frozen.save_predictions(logits, val, scores.by_class.values)
    return val_metrics(scores.metrics, frozen.data), scores.by_class


def _metric(data: TrainingData) -> str:
    return "top1" if data.is_single_label else "map"


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
