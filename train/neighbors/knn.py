"""A k-NN classifier: the classes of the nearest training images in a frozen network's features; nothing is fitted."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.train.config.settings import Config
from in21k.train.data.fraction import with_fraction
from in21k.train.data.interfaces import TrainingData
from in21k.train.errors import TrainError
from in21k.train.evaluation.class_scores import write_class_scores
from in21k.train.evaluation.scheme_metrics import Scores
from in21k.train.evaluation.val_pass import NO_VAL, val_metrics
from in21k.train.neighbors.nearest import nearest
from in21k.train.neighbors.vectors import vectors
from in21k.train.neighbors.vote import TEMPERATURE, Votes
from in21k.train.run.folder import SUMMARY
from in21k.train.transfer.features import Features, extract, labels_of, write_features
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
    with frozen_run(data, run, choice.config, _WHAT, request.values) as frozen:
        train, val = _features(frozen, data)
        frozen.name_skipped(train=train, val=val)
        _require_enough(data, voting, len(train.values))
        scores = _scores(frozen, train, val, voting) if len(val.values) else []
        if request.keep_features:
            write_features(run, train=train, val=val)
        if scores:
            write_class_scores(run, data, scores[0].by_class)
        by_k = {str(k): _named(found) for k, found in zip(voting.ks, scores, strict=False)}
        summary = {
            **_summary(run, frozen.config, data, train, val),
            "temperature": voting.temperature,
            "k": voting.ks[0],
            **(val_metrics(scores[0].metrics, data) if scores else NO_VAL),
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


def _scores(frozen: FrozenRun, train: Features, val: Features, voting: Voting) -> list[Scores]:
    """Return the scores for each K, in the order in which they were given; write the predictions of the first."""
    data, device = frozen.data, frozen.ranks.device
    queries, gallery = (
        vectors(each.values, f"{data.name}, {split}") for each, split in ((val, "val"), (train, "train"))
    )
    found, labels = nearest(queries, gallery, max(voting.ks), device), labels_of(train, data, device)
    votes = [Votes(found, k, labels, voting.temperature) for k in voting.ks]
    scores = [frozen.scores(each, val.label_ids) for each in votes]
    frozen.save_predictions(votes[0], val, scores[0].by_class.values, are_shares=True)
    return scores


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
