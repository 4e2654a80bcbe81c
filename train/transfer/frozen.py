"""A run that trains nothing of its network: the folder, and the network with the weights that it keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from in21k.train.config.settings import Config
from in21k.train.config.sizes import only_size, schedule_of
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.backend import prepare_backend
from in21k.train.device.ranks import Ranks, join_ranks
from in21k.train.device.start_line import print_start
from in21k.train.errors import TrainError
from in21k.train.model.level_order import level_order
from in21k.train.model.network import Network, build_network
from in21k.train.model.on_device import prepare_network
from in21k.train.run.folder import begin_run, find_start
from in21k.train.run.lock import run_lock
from in21k.train.run.resolve import resolved
from in21k.train.stream.source import read_options


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


@contextmanager
def frozen_run(data: TrainingData, run: Path, config: Config, what: str) -> Iterator[FrozenRun]:
    """Begin a run that keeps its network as it is; within the block, the folder is locked and the data can be read.

    The run's folder gets config.json and hierarchy.parquet.

    Args:
        data: to read.
        run: the run's folder, which must not hold a run.
        config: the network with its weights, and how images are read.
        what: the run is, such as `a linear probe`, for messages.

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
        torch.manual_seed(config.run.seed)
        network = build_network(config.model, level_order(data.hierarchy), schedule_of(config.data.image_size).last)
        network = prepare_network(network, ranks)
        with data.cached(read_options(config.data)):
            begin_run(run, start, config, data, lock, resume=None)
            print_start(ranks, config.run, config.data.eval_batch_size)
            yield FrozenRun(run, network, config, ranks)
