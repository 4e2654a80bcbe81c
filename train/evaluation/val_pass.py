"""A val pass: the loss and metrics of a network on the val split, the same on any number of ranks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import nn

from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.partition import EvalPlan
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.evaluation.class_scores import ClassScores
from in21k.train.evaluation.scheme_metrics import SchemeMetrics, Scores
from in21k.train.evaluation.semantic_top1 import SemanticTop1, majority_guess
from in21k.train.model.clips import of_videos
from in21k.train.model.network import Network
from in21k.train.model.on_device import evaluating
from in21k.train.stream.decoder import check_skipped
from in21k.train.stream.device_stream import device_stream
from in21k.train.stream.source import val_source
from in21k.tree.majority import majority_shares

NO_VAL: dict[str, Any] = {"val_images": 0, "val_loss": None, "val_note": "there are no val images to evaluate on"}
"""What a summary says of data without a val split."""


@dataclass(frozen=True)
class Evaluation:
    """The result of a val pass."""

    loss: float
    """The recipe's hard-label loss, mean over the images that decode."""
    top1: SemanticTop1 | None
    """None if no level has two classes, or if the classes are a plain list and the scheme is not semantic."""
    metrics: Mapping[str, float | None]
    """The scheme's other metrics by name: shares of 0 to 1, but for distances, which are in edges."""
    by_class: ClassScores
    images: int
    """Images that decode."""
    skipped: int
    """Images that do not."""
    skipped_keys: tuple[str, ...] = field(default=(), compare=False)
    """Those of them that this rank met."""

    @property
    def semantic_top1(self) -> float | None:
        """Over all levels, 0 to 1; None where it is not measured."""
        return self.top1.micro if self.top1 else None

    @property
    def curve(self) -> Mapping[str, float | None]:
        """The metrics that the curves show."""
        return self.metrics

    def to_dict(self, dataset: TrainingData) -> dict[str, Any]:
        """Return plain values, and those of the majority guess: each level's most frequent class of the train split."""
        values: dict[str, Any] = {"val_images": self.images, "val_skipped": self.skipped, "val_loss": self.loss}
        values.update({f"val_{name}": value for name, value in self.metrics.items()})
        if self.metrics.get("top1") is not None:
            values.update(majority_top1(dataset))
        if self.top1 is None:
            return values
        sizes = dataset.hierarchy.level_sizes
        guess = majority_guess(dataset.hierarchy, dataset.images_train, dataset.images_val)
        return {
            **values,
            "val_semantic_top1": self.top1.micro,
            "majority_semantic_top1": guess.micro,
            "classes_by_level": {str(level): int(sizes[level]) for level in self.top1.levels},
            "val_semantic_top1_by_level": {str(level): self.top1.level(level) for level in self.top1.levels},
            "majority_semantic_top1_by_level": {str(level): guess.level(level) for level in guess.levels},
        }


def val_metrics(metrics: Mapping[str, float | None], dataset: TrainingData) -> dict[str, float]:
    """Return known metrics as a summary names them, and beside top-1 that of always guessing the largest class."""
    values = {f"val_{name}": value for name, value in metrics.items() if value is not None}
    return values | (majority_top1(dataset) if metrics.get("top1") is not None else {})


def majority_top1(dataset: TrainingData) -> dict[str, float]:
    """Return top-1 of always guessing the largest training class; nothing where images have several classes."""
    if not dataset.is_single_label:
        return {}
    shares = majority_shares(dataset.hierarchy, dataset.images_train, dataset.images_val)
    return {"majority_top1": shares["top1"]} if shares else {}


Watcher = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Takes logits [B, C] in level order, class indices int64 [B], and which of them are valid, bool [B]."""


class Scored(NamedTuple):
    """A batch of the val split with its logits."""

    logits: torch.Tensor
    """[B, C] in level order."""
    ids: torch.Tensor
    """int64 [B]."""
    valid: torch.Tensor
    """bool [B]."""
    skipped: tuple[str, ...]
    """Images that do not decode."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A val pass was asked to stop."""


def evaluate_val(
    network: Network,
    loss: nn.Module,
    dataset: TrainingData,
    config: Config,
    ranks: Ranks,
    stop: Callable[[], bool] = lambda: False,
    watch: Watcher | None = None,
) -> Evaluation:
    """Return the evaluation of a network on the val split; every rank must call it, and all get the same.

    Mean average precision takes a second pass over the images. The network is left in eval mode.

    Args:
        network: to evaluate.
        loss: of (logits, ids, valid).
        dataset: with the val split.
        config: its image size, batch size, scheme and precision.
        ranks: this rank among the others.
        stop: called for each batch, equally often on all ranks, and must return the same on all of them.
        watch: given each batch of logits, class indices, and which of them are valid, in addition.

    Raises:
        TrainError: a shard is damaged, or no image decodes, or too many do not.
        Interrupted: `stop` returned True.
    """
    for buffer in network.module.buffers():
        ranks.broadcast(buffer)  # batch norm's running statistics differ between ranks
    metrics = SchemeMetrics(dataset, network.order, config.loss.scheme, ranks)
    totals = torch.zeros(3, dtype=torch.float64, device=ranks.device)  # loss, images, skipped
    keys: list[str] = []
    with evaluating(network, ranks.device, config.run):
        for logits, ids, valid, skipped in _scored(network, dataset, config, ranks, stop):
            metrics.update(logits, ids, valid)
            if watch is not None:
                watch(logits, ids, valid)
            totals[0] += loss(logits, ids, valid).double() * len(valid)
            totals[1] += valid.sum()
            totals[2] += len(skipped)
            keys += skipped
        if metrics.wants_second_pass:
            metrics.seal()
            for logits, ids, valid, _ in _scored(network, dataset, config, ranks, stop):
                metrics.count_again(logits, ids, valid)
    found = _evaluation(metrics.result(), ranks.sum(totals).tolist(), dataset.name, config.data.max_skipped)
    return replace(found, skipped_keys=tuple(keys))


def _evaluation(found: Scores, totals: list[float], name: str, max_skipped: float) -> Evaluation:
    """Return the result of a val pass, given the metrics and the totals over all ranks: loss, images, skipped."""
    summed, images, skipped = totals[0], int(totals[1]), int(totals[2])
    if not images:
        raise TrainError(f"{name}: none of the {skipped} val images decodes")
    check_skipped(skipped, seen=images + skipped, passes=1, share=max_skipped, name=f"{name}, val")
    return Evaluation(
        loss=float(f"{summed / images:.9g}"),  # sums of floats depend on their order, but not up to the ninth digit
        top1=found.top1,
        metrics=found.metrics,
        by_class=found.by_class,
        images=images,
        skipped=skipped,
    )


def _scored(
    network: Network, dataset: TrainingData, config: Config, ranks: Ranks, stop: Callable[[], bool]
) -> Iterator[Scored]:
    """Yield this rank's share of the val split with its logits."""
    samples = dataset.samples("val")
    plan = EvalPlan(samples, min(config.data.eval_batch_size, samples), ranks.rank, ranks.world_size)
    source = val_source(dataset, config)
    with device_stream(source, plan, config, ranks.device) as batches:
        for batch in batches:
            logits = of_videos(network.module(network.inputs(batch.images, ranks.device)), source.clips)
            labels = batch.labels
            yield Scored(logits, labels.class_indices, labels.valid, labels.skipped)
            if stop():
                raise Interrupted
