"""Builds a rank's session from the configuration and the data, at the step from which the run starts."""

from dataclasses import replace
from typing import Any

import torch

from in21k.train.config.settings import Config, ModelConfig
from in21k.train.config.sizes import schedule_of
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.partition import TrainPlan
from in21k.train.device.backend import check_deterministic, prepare_backend
from in21k.train.device.precision import loss_scaler
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.losses.schemes import build_loss
from in21k.train.model.clips import build_for
from in21k.train.model.level_order import level_order
from in21k.train.model.network import Network, require_sizes
from in21k.train.model.on_device import prepare_network, training_module
from in21k.train.model.stages import freeze_stages
from in21k.train.run.folder import Start
from in21k.train.stream.source import mixing_of
from in21k.train.trainer.ema import WeightEma
from in21k.train.trainer.optimizer import build_optimizer
from in21k.train.trainer.session import Session
from in21k.train.trainer.teacher import open_teacher


def open_session(config: Config, dataset: TrainingData, ranks: Ranks, start: Start) -> Session:
    """Return a rank's session, at the step from which the run starts.

    Args:
        config: resolved.
        dataset: to train on.
        ranks: this rank among the others.
        start: the start of the run, or the checkpoint to resume.

    Raises:
        TrainError: the configuration does not fit the dataset or the ranks, or weights are not usable.
    """
    sizes = schedule_of(config.data.image_size)
    prepare_backend(config.run, ranks.device)
    plan = train_plan(config, dataset, ranks)
    torch.manual_seed(config.run.seed)
    order = level_order(dataset.hierarchy)
    loss = build_loss(config.loss, order, dataset.label_sets, config.distill).to(ranks.device)
    network = build_for(config.video, model_to_build(config, start), order, sizes.last)
    require_sizes(network, sizes.sizes)
    network = network_on_ranks(network, config, ranks)
    freeze_stages(network, config.model.frozen_stages)
    session = Session(
        config=config,
        dataset=dataset,
        ranks=ranks,
        plan=plan,
        network=network,
        loss=loss,
        teacher=open_teacher(config, dataset, order, ranks),
        **learning_parts(network, config, ranks),
    )
    session.restore(start)
    return replace(session, train_module=training_module(network.module, ranks, config.run, len(sizes.sizes)))


def model_to_build(config: Config, start: Start) -> ModelConfig:
    """Return the settings of a session's network; a resumed run's weights come from its checkpoint."""
    return replace(config.model, pretrained=False, init="") if start.state is not None else config.model


def network_on_ranks(network: Network, config: Config, ranks: Ranks) -> Network:
    """Return a network on a rank's device, as training has it.

    Raises:
        TrainError: it has no deterministic implementation where the run asks for one, or CPUs are to share batch norm.
    """
    if config.run.deterministic:
        check_deterministic(network.module, network.name, ranks.device)
    return prepare_network(network, ranks, sync_bn=config.model.sync_bn)


def learning_parts(network: Network, config: Config, ranks: Ranks) -> dict[str, Any]:
    """Return what a session changes the weights with, by the names of its fields, before gradients are exchanged."""
    optim, run = config.optim, config.run
    return {
        "train_module": network.module,
        "optimizer": build_optimizer(network, optim, fused=ranks.device.type == "cuda"),
        "scaler": loss_scaler(ranks.device, run.amp, run.amp_dtype),
        "ema": WeightEma(network, optim.ema_decay, warmup=optim.ema_warmup) if optim.ema_decay else None,
    }


def train_plan(config: Config, dataset: TrainingData, ranks: Ranks) -> TrainPlan:
    """Return which samples each step of a run takes on this rank.

    Raises:
        TrainError: the batch size does not fit the data, the ranks or the micro-batches.
    """
    micro_batches = config.optim.accumulate
    plan = TrainPlan(
        shard_lengths=dataset.shard_lengths("train"),
        seed=config.run.seed,
        epochs=config.optim.epochs,
        global_batch=config.data.batch_size,
        rank=ranks.rank,
        world_size=ranks.world_size,
        block=config.data.block_samples,
        shuffled=mixing_of(config) is not None,
    )
    if plan.shuffled and plan.batch_size % 2:
        raise TrainError(
            f"mixup and CutMix take images in pairs, and a rank's batch of {plan.batch_size} images is not even; give "
            f"a --batch-size that is a multiple of {2 * ranks.world_size}"
        )
    if plan.batch_size % micro_batches:
        raise TrainError(
            f"a rank's batch of {plan.batch_size} images does not divide into optim.accumulate={micro_batches} "
            "micro-batches; give a divisor"
        )
    return plan
