"""A k-NN classifier: the classes of the nearest training images in a frozen network's features; nothing is fitted."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from in21k.shards_manifest.storage.local_files import atomic_path, write_atomic
from in21k.train.config.settings import Config
from in21k.train.data.fraction import with_fraction
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.evaluation.class_scores import write_class_scores
from in21k.train.evaluation.predictions import PredictionCollector
from in21k.train.evaluation.scheme_metrics import SchemeMetrics, Scores
from in21k.train.evaluation.val_pass import NO_VAL
from in21k.train.model.level_order import level_order
from in21k.train.model.model_file import write_tensors
from in21k.train.neighbors.nearest import nearest
from in21k.train.neighbors.vectors import vectors
from in21k.train.neighbors.vote import TEMPERATURE, Votes
from in21k.train.run.folder import SUMMARY
from in21k.train.transfer.features import FEATURES, Features, as_tensors, extract, labels_of
from in21k.train.transfer.frozen import FrozenRun, frozen_run
from in21k.train.transfer.transfer import TransferRequest, open_request

_WHAT = "k-NN"
_ROOM = 1 << 30
"""Bytes of a GPU's memory to leave free beside the features."""


@dataclass(frozen=True)
class Voting:
    """How neighbors vote."""

    ks: tuple[int, ...]
    """How many of them; the run's own scores are those of the first K."""
    temperature: float = TEMPERATURE
    """A neighbor's weight is exp(similarity / temperature)."""


def knn(request: TransferRequest, run: Path, voting: Voting) -> dict[str, Any]:
    """Score the votes of the nearest training images on the val split; return the summary.

    The run's folder gets config.json, hierarchy.parquet, val_classes.csv and, last, summary.json.

    Args:
        request: the data, the network, and how images are read.
        run: the run's folder, which must not hold a run.
        voting: how neighbors vote.

    Raises:
        DatasetError: the data, the checkpoint or the run's folder is not usable.
        TrainError: there are fewer training images than neighbors, or several ranks.
    """
    began = time.perf_counter()
    data, choice = open_request(request, run)
    data = with_fraction(data, choice.config.data.fraction)
    if choice.config.distill.teacher:
        raise TrainError("k-NN learns from no teacher; leave --teacher out, or fine-tune, without --knn")
    _require_enough(data, voting, data.samples("train"))
    with frozen_run(data, run, choice.config, _WHAT) as frozen:
        train, val = _features(frozen, data)
        _require_enough(data, voting, len(train.values))
        scores = _scores(frozen, train, val, data, voting) if len(val.values) else []
        if request.keep_features:
            with atomic_path(run / FEATURES) as temporary:
                write_tensors(temporary, as_tensors(train=train, val=val))
        if scores:
            write_class_scores(run, data, scores[0].by_class)
        by_k = {str(k): _named(found) for k, found in zip(voting.ks, scores, strict=False)}
        summary = {
            **_summary(run, frozen.config, data, train, val),
            "temperature": voting.temperature,
            "k": voting.ks[0],
            **(_named(scores[0]) if scores else NO_VAL),
            "knn": by_k,
            "seconds": round(time.perf_counter() - began, 2),
        }
        write_atomic(run / SUMMARY, json.dumps(summary, indent=1).encode() + b"\n")
    return summary


def _require_enough(data: TrainingData, voting: Voting, images: int) -> None:
    if images < max(voting.ks):
        raise TrainError(
            f"{data.name}: {images} training images are fewer than {max(voting.ks)} neighbors; give a smaller --knn"
        )


def _features(frozen: FrozenRun, data: TrainingData) -> tuple[Features, Features]:
    train, val = (
        extract(frozen.network, data, split, frozen.config, frozen.ranks, _ROOM) for split in ("train", "val")
    )
    return train, val


def _scores(frozen: FrozenRun, train: Features, val: Features, data: TrainingData, voting: Voting) -> list[Scores]:
    """Return the scores for each K, in the order in which they were given; write the predictions of the first."""
    device = frozen.ranks.device
    queries = vectors(val.values, f"{data.name}, val")
    with torch.autocast(device.type, enabled=False):
        found = nearest(queries, vectors(train.values, f"{data.name}, train"), max(voting.ks), device)
    votes = [Votes(found, k, labels_of(train, data, device), voting.temperature) for k in voting.ks]
    if frozen.config.run.save_predictions:
        collector = PredictionCollector(data, level_order(data.hierarchy), _scheme(data), frozen.ranks)
        for batch in _batches(votes[0], val, data, device):
            collector.update(*batch)
        collector.save(frozen.run, val.missing)
    return [_scores_of(each, val, data, frozen.ranks) for each in votes]


def _scores_of(votes: Votes, val: Features, data: TrainingData, ranks: Ranks) -> Scores:
    """Return the scores of votes, as a val pass computes them from logits."""
    metrics = SchemeMetrics(data, level_order(data.hierarchy), _scheme(data), ranks)
    for batch in _batches(votes, val, data, ranks.device):
        metrics.update(*batch)
    if metrics.wants_second_pass:
        metrics.seal()
        for batch in _batches(votes, val, data, ranks.device):
            metrics.count_again(*batch)
    return metrics.result()


def _scheme(data: TrainingData) -> str:
    return "single-label" if data.is_single_label else "multi-label"


def _batches(
    votes: Votes, val: Features, data: TrainingData, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield shares in level order, label ids, and that all of them are valid."""
    order = level_order(data.hierarchy)
    for shares, queries in votes:
        ids = val.label_ids[queries].to(device)
        yield order.to_rows(shares, dim=1), ids, torch.ones_like(ids, dtype=torch.bool)


def _named(scores: Scores) -> dict[str, float]:
    return {f"val_{name}": value for name, value in scores.metrics.items() if value is not None}


def _summary(run: Path, config: Config, data: TrainingData, train: Features, val: Features) -> dict[str, Any]:
    return {
        "run": str(run),
        "model": config.model.name,
        "scheme": "k-nn",
        "classes": len(data.hierarchy),
        "image_size": config.data.image_size,
        "features": train.values.shape[1],
        "train_images": len(train.values),
        "skipped_images": train.skipped,
        "val_images": len(val.values),
        "val_skipped": val.skipped,
    }
