"""A run that trains nothing of its network: the folder, the network with the weights that it keeps, and its scores."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from in21k.train.arrays import FloatArray
from in21k.train.config.settings import Config
from in21k.train.config.sizes import only_size, schedule_of
from in21k.train.data.held_out import left_out_of
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.backend import prepare_backend
from in21k.train.device.header import data_text, model_text, print_header, step_text
from in21k.train.device.ranks import Ranks, join_ranks
from in21k.train.errors import TrainError
from in21k.train.evaluation.predictions import run_predictions, write_classes_beside
from in21k.train.evaluation.scheme_metrics import SchemeMetrics, Scores
from in21k.train.model.hub import INSTEAD_OF_TRANSFERRED, Wanted, fetch
from in21k.train.model.level_order import level_order
from in21k.train.model.network import Network, build_network
from in21k.train.model.on_device import prepare_network
from in21k.train.run.folder import begin_run, find_start, log_skipped
from in21k.train.run.lock import run_lock
from in21k.train.run.resolve import resolved
from in21k.train.stream.source import read_options
from in21k.train.transfer.features import Features

_SCORED = 1 << 20
"""Scores of a class counted at a time, for the copies that mean average precision makes of them."""

Answers = Iterable[tuple[Tensor, Tensor | slice]]
"""Blocks of images: what a classifier says of them, [n, C] in class order, and which they are; read several times."""

_HEEDED = frozenset(
    {
        *(
            f"model.{name}"
            for name in ("name", "pretrained", "init", "new_head", "init_ema", "inputs", "channels_last")
        ),
        *(f"data.{name}" for name in ("image_size", "fraction", "eval_batch_size", "interpolation", "strict")),
        *(f"data.{name}" for name in ("max_skipped", "verify_digest", "cache", "cache_size", "pinned_bytes")),
        *(f"run.{name}" for name in ("device", "workers", "amp", "amp_dtype", "matmul_precision", "deterministic")),
        "run.save_predictions",
    }
)
"""The settings that a run heeds which trains nothing; the others are about training."""


@dataclass(frozen=True, eq=False)
class FrozenRun:
    """A run that has begun, with a network on its device."""

    run: Path
    """Its folder."""
    network: Network
    config: Config
    """Resolved."""
    ranks: Ranks
    """A single one."""
    data: TrainingData

    def scores(self, answers: Answers, label_ids: Tensor) -> Scores:
        """Return the scores of a classifier's answers, as a val pass computes them from logits.

        Args:
            answers: of some images.
            label_ids: int64 [N], on the device: of all images that the answers number.
        """
        metrics = SchemeMetrics(self.data, self.network.order, self._scheme, self.ranks)
        for batch in self._batches(answers, label_ids):
            metrics.update(*batch)
        if metrics.wants_second_pass:
            metrics.seal()
            for batch in self._batches(answers, label_ids):
                metrics.count_again(*batch)
        return metrics.result()

    def save_predictions(
        self, answers: Answers, val: Features, precisions: FloatArray, *, are_shares: bool = False
    ) -> None:
        """Write what a classifier says of each image of the val split, where the settings ask for it.

        Args:
            answers: of the images.
            val: the images.
            precisions: float64 [C]: average precisions, where images have any number of classes.
            are_shares: whether the answers are shares of 1, instead of logits.
        """
        config = replace(self.config, loss=replace(self.config.loss, scheme=self._scheme))
        is_single = self.data.is_single_label
        with run_predictions(self.run, self.data, self.network, config, self.ranks, val.missing) as saved:
            for block, *others in self._batches(answers, val.label_ids) if saved else ():
                assert saved is not None
                saved.update(block.log() if are_shares and is_single else block, *others)
        if saved and not (are_shares and not is_single):  # of shares, no 0.5 says that a class is seen
            write_classes_beside(saved, self.data, self.network, precisions)

    def name_skipped(self, **splits: Features) -> None:
        """List the images of each split that do not decode in RUN/skipped.csv, at step 0."""
        for split, features in splits.items():
            if features.missing:
                keys = self.data.listing(split).keys.take(pa.array(features.missing))
                log_skipped(self.run, 0, keys.to_pylist(), split)

    @property
    def _scheme(self) -> str:
        return "single-label" if self.data.is_single_label else "multi-label"

    def _batches(self, answers: Answers, label_ids: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield answers in level order, label ids, and that all of them are valid."""
        order = self.network.order
        images_at_a_time = max(_SCORED // len(order), 1)
        for block, images in answers:
            split = (torch.split(each, images_at_a_time) for each in (order.to_rows(block, dim=1), label_ids[images]))
            for each, ids in zip(*split, strict=True):
                yield each, ids, torch.ones_like(ids, dtype=torch.bool)


@contextmanager
def frozen_run(
    data: TrainingData, run: Path, config: Config, what: str, given: Iterable[str] = ()
) -> Iterator[FrozenRun]:
    """Begin a run that keeps its network as it is; within the block, the folder is locked and the data can be read.

    The run's folder gets config.json and hierarchy.parquet. A line on stderr names the settings without effect.

    Args:
        data: to read.
        run: the run's folder, which must not hold a run.
        config: the network with its weights, and how images are read.
        what: the run is, such as `a linear probe`, for messages.
        given: the settings that the user gave, by dotted key.

    Raises:
        TrainError: the network or its weights are not usable, there are several ranks, or the data are videos.
        DatasetError: the folder is not usable.
    """
    with join_ranks(config.run.device) as ranks, run_lock(run) as lock:
        prepare_backend(config.run, ranks.device)
        if ranks.world_size > 1:
            raise TrainError(f"{what} runs on one rank; start it without torchrun")
        if data.decoding(1).is_video:
            raise TrainError(f"{data.name} holds videos, which {what} does not take; fine-tune")
        only_size(config.data.image_size, what)
        config = resolved(config, data, ranks)
        lock.take_if_there()
        start = find_start(run, config, data, resume=None)
        if config.model.pretrained:
            fetch(Wanted(config.model.name, INSTEAD_OF_TRANSFERRED))
        torch.manual_seed(config.run.seed)
        network = build_network(config.model, level_order(data.hierarchy), schedule_of(config.data.image_size).last)
        network = prepare_network(network, ranks)
        with data.cached(read_options(config.data)):
            begin_run(run, start, config, data, lock, resume=None)
            print_header(ranks, config.run, _facts(network, config, data, ranks), left_out_of(data))
            if unused := [key for key in given if key not in _HEEDED]:
                told = f"note: {what} does not train the network, so this has no effect: {', '.join(unused)}"
                print(told, file=sys.stderr, flush=True)
            yield FrozenRun(run, network, config, ranks, data)


def _facts(network: Network, config: Config, data: TrainingData, ranks: Ranks) -> dict[str, str]:
    """Return what the header says."""
    side = schedule_of(config.data.image_size).last
    return {
        "model": model_text(config.model.name, network.module),
        "weights": config.model.init or f"timm's, for {config.model.name}",
        "data": data_text(data.name, len(data.hierarchy), {each: data.samples(each) for each in ("train", "val")}),
        "images": f"{side} x {side} pixels, not augmented",
        "step": step_text(config.data.eval_batch_size, ranks),
    }
