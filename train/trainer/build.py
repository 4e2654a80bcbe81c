"""How a training process becomes ready: a session from the configuration and the data, at the step where it begins."""

from dataclasses import replace

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from in21k.train.config.settings import Config, ModelConfig
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.partition import TrainPlan
from in21k.train.device.backend import compiled, prepare_backend
from in21k.train.device.precision import loss_scaler
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.losses.schemes import build_loss
from in21k.train.model.level_order import level_order
from in21k.train.model.network import Network, build_network
from in21k.train.run.folder import Start
from in21k.train.trainer.ema import WeightEma
from in21k.train.trainer.optimizer import build_optimizer
from in21k.train.trainer.session import Session
from in21k.train.trainer.teacher import open_teacher


def open_session(config: Config, dataset: TrainingData, ranks: Ranks, start: Start) -> Session:
    """Return a process's session, at the point from which the run goes on.

    Args:
        config: resolved.
        dataset: to train on.
        ranks: this process among the others.
        start: where the run begins.

    Raises:
        TrainError: the configuration does not fit the dataset or the processes, or a file of weights is not usable.
    """
    run, optim = config.run, config.optim
    prepare_backend(run, ranks.device)
    plan = _plan(config, dataset, ranks)
    torch.manual_seed(run.seed)
    order = level_order(dataset.hierarchy)
    loss = build_loss(config.loss, order, dataset.label_sets, config.distill).to(ranks.device)
    resumed = start.state is not None  # its weights come from the checkpoint
    model = replace(config.model, pretrained=False, init="") if resumed else config.model
    network = _on_device(build_network(model, order, config.data.image_size), config.model, ranks)
    optimizer = build_optimizer(network, optim, ranks.device)
    scaler = loss_scaler(ranks.device, run.amp, run.amp_dtype)
    ema = WeightEma(network, optim.ema_decay) if optim.ema_decay else None
    teacher = open_teacher(config, dataset, order, ranks)
    session = Session(
        config=config,
        dataset=dataset,
        ranks=ranks,
        plan=plan,
        network=network,
        train_module=network.module,
        loss=loss,
        optimizer=optimizer,
        scaler=scaler,
        ema=ema,
        teacher=teacher,
    )
    session.restore(start)
    module = _synchronized(network.module, ranks)
    return replace(session, train_module=compiled(module, ranks.device) if run.compile else module)


def _plan(config: Config, dataset: TrainingData, ranks: Ranks) -> TrainPlan:
    data, parts = config.data, config.optim.accumulate
    plan = TrainPlan(
        dataset.shard_lengths("train"),
        config.run.seed,
        config.optim.epochs,
        data.batch_size,
        ranks.rank,
        ranks.world_size,
    )
    if plan.batch_size % parts:
        raise TrainError(
            f"the {plan.batch_size} images of a process's step do not divide into optim.accumulate={parts} parts; "
            "name a divisor"
        )
    return plan


def _on_device(network: Network, config: ModelConfig, ranks: Ranks) -> Network:
    module = network.module.to(ranks.device)
    on_gpu = ranks.device.type == "cuda"
    if on_gpu and config.channels_last:
        module.to(memory_format=torch.channels_last)
    if on_gpu and config.sync_bn and ranks.world_size > 1:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return replace(network, module=module)


def _synchronized(module: nn.Module, ranks: Ranks) -> nn.Module:
    if ranks.world_size == 1:
        return module
    devices = [ranks.device.index] if ranks.device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)
