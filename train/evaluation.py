"""What a network scores on the val split: loss and metrics, the same on any number of processes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from in21k.train.backend import prepare_backend
from in21k.train.checkpoint import check_classes, find_model, read_card
from in21k.train.config import Config, DataConfig, RunConfig
from in21k.train.dataset import open_dataset
from in21k.train.distributed import Ranks, join_ranks
from in21k.train.errors import TrainError
from in21k.train.levels import level_order
from in21k.train.losses import build_loss
from in21k.train.metrics import SemanticTop1, majority_guess
from in21k.train.model import Network
from in21k.train.partition import EvalPlan
from in21k.train.precision import autocast
from in21k.train.prefetch import on_device
from in21k.train.scheme_metrics import SchemeMetrics
from in21k.train.sources import read_options, val_source
from in21k.train.stream import default_workers, open_stream
from in21k.train.trained_model import load_network
from in21k.train.training_data import TrainingData


@dataclass(frozen=True)
class Evaluation:
    """What the val split showed."""

    loss: float
    """Mean over the images that decode, of the recipe's hard-label loss."""
    top1: SemanticTop1 | None
    """None where the classes have no hierarchy."""
    metrics: Mapping[str, float | None]
    """The scheme's further metrics by name: top1, top5, map (0 to 1), mistake_distance (edges)."""
    images: int
    """Images that decode."""
    skipped: int
    """Images that do not."""

    def to_dict(self, dataset: TrainingData) -> dict[str, Any]:
        """Return it as plain values, beside the majority guess: each level's most frequent class of the train split."""
        values: dict[str, Any] = {"val_images": self.images, "val_skipped": self.skipped, "val_loss": self.loss}
        values.update({f"val_{name}": value for name, value in self.metrics.items()})
        if self.top1 is None:
            return values
        guess = majority_guess(dataset.hierarchy, dataset.images_train, dataset.images_val)
        return {
            **values,
            "val_semantic_top1": self.top1.micro,
            "majority_semantic_top1": guess.micro,
            "val_semantic_top1_by_level": {str(level): self.top1.level(level) for level in self.top1.levels},
            "majority_semantic_top1_by_level": {str(level): guess.level(level) for level in guess.levels},
        }


class Scored(NamedTuple):
    """A batch of the val split, scored."""

    logits: torch.Tensor
    """[B, C] in level order."""
    ids: torch.Tensor
    """int64 [B]."""
    valid: torch.Tensor
    """bool [B]."""
    skipped: int
    """Images that do not decode."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A validation was asked to stop."""


def evaluate_val(
    network: Network,
    loss: nn.Module,
    dataset: TrainingData,
    config: Config,
    ranks: Ranks,
    stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Return the evaluation of a network on the val split; every process must call it, and all get the same.

    One pass serves, but for the mean average precision, which takes two. The network is left in eval mode.

    Args:
        network: to evaluate.
        loss: of (logits, ids, valid).
        dataset: with the val split.
        config: its image size, batch size, scheme and precision.
        ranks: this process among the others.
        stop: asked for each batch, equally often on all processes; they must get the same answer.

    Raises:
        TrainError: a shard is damaged, or no image decodes.
        Interrupted: `stop` said so.
    """
    for buffer in network.module.buffers():
        ranks.broadcast(buffer)  # batch norm's running statistics differ between processes
    network.module.eval()
    metrics = SchemeMetrics(dataset, network.order, config.loss.scheme, ranks)
    totals = torch.zeros(3, dtype=torch.float64, device=ranks.device)  # loss, images, skipped
    with torch.inference_mode(), autocast(ranks.device, config.run.amp, config.run.amp_dtype):
        for logits, ids, valid, skipped in _scored(network, dataset, config, ranks, stop):
            metrics.update(logits, ids, valid)
            totals[0] += loss(logits, ids, valid).double() * len(valid)
            totals[1] += valid.sum()
            totals[2] += skipped
        if metrics.wants_second_pass:
            metrics.seal()
            for logits, ids, valid, _ in _scored(network, dataset, config, ranks, stop):
                metrics.count_again(logits, ids, valid)
    top1, others = metrics.result()
    summed, images, skipped = ranks.sum(totals).tolist()
    if not images:
        raise TrainError(f"{dataset.name}: none of the {int(skipped)} val images decodes")
    loss_value = float(f"{summed / images:.9g}")  # sums of floats depend on their order, the ninth digit does not
    return Evaluation(loss_value, top1, others, int(images), int(skipped))


def _scored(
    network: Network, dataset: TrainingData, config: Config, ranks: Ranks, stop: Callable[[], bool]
) -> Iterator[Scored]:
    """Yield this process's share of the val split, scored."""
    samples = dataset.samples("val")
    plan = EvalPlan(samples, min(config.data.eval_batch_size, samples), ranks.rank, ranks.world_size)
    source = val_source(dataset, config)
    workers = min(config.run.workers, plan.steps)
    stream = open_stream(source, plan, workers=workers, pin_memory=ranks.device.type == "cuda")
    with closing(on_device(stream, ranks.device)) as batches:
        for batch in batches:
            logits = network.module(network.inputs(batch.images, ranks.device))
            yield Scored(logits, batch.class_indices, batch.valid, len(batch.skipped))
            if stop():
                raise Interrupted


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
    card = read_card(path)
    with join_ranks(run.device) as ranks:
        prepare_backend(run, ranks.device)
        dataset = open_dataset(data)
        check_classes(path, card, len(dataset.hierarchy), dataset.class_list_sha256)
        size = settings.image_size or card.image_size
        workers = default_workers(ranks.local_world_size) if run.workers < 0 else run.workers
        config = replace(
            card.config,
            model=replace(card.config.model, pretrained=False, init=""),
            data=replace(settings, image_size=size),
            run=replace(run, workers=workers),
        )
        order = level_order(dataset.hierarchy)
        network = load_network(path, card, order, size)
        network.module.to(ranks.device)
        loss = build_loss(config, order, dataset.label_sets).to(ranks.device)
        with dataset.cached(read_options(config.data)):
            evaluation = evaluate_val(network, loss, dataset, config, ranks)
    return {"checkpoint": str(path), "model": card.model, **evaluation.to_dict(dataset)} if ranks.is_first else None
