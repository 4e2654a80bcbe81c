"""All that a training process holds: dataset, network, loss, optimizer and plan, built from the configuration."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from in21k.train.augment_device import augment_batch
from in21k.train.checkpoint import (
    MODEL,
    OPTIMIZER,
    ModelCard,
    RunState,
    check_classes,
    load_tensors,
    read_card,
    save_checkpoint,
)
from in21k.train.config import Config
from in21k.train.distributed import Ranks
from in21k.train.errors import TrainError, one_line
from in21k.train.levels import level_order
from in21k.train.losses import build_loss
from in21k.train.model import Network, build_network
from in21k.train.model_choice import resolve_model
from in21k.train.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors
from in21k.train.partition import TrainPlan
from in21k.train.precision import autocast, loss_scaler
from in21k.train.run_folder import Start
from in21k.train.schedule import one_cycle
from in21k.train.sources import augmentation_of
from in21k.train.stream import Batch, default_workers
from in21k.train.training_data import TrainingData


@dataclass(frozen=True, eq=False)
class Session:
    """One training process of a run."""

    config: Config
    dataset: TrainingData
    ranks: Ranks
    plan: TrainPlan
    network: Network
    replica: nn.Module
    """The network's module, wrapped for several processes where there are several."""
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Scales the loss for float16, does nothing otherwise."""

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        optim = self.config.optim
        return one_cycle(
            step, self.plan.total_steps, optim.lr, optim.pct_start, optim.div_factor, optim.final_div_factor
        )

    def train_step(self, batch: Batch, step: int) -> torch.Tensor:
        """Take one step and return its loss on this process, a detached scalar; nothing waits for the device.

        Args:
            batch: on the device.
            step: of the run.
        """
        seed = np.random.SeedSequence([self.config.run.seed, step, self.ranks.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(seed[0] >> np.uint64(1)))  # dropout: a resumed run draws what the whole one drew
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        images = batch.images
        if self.config.data.augment_device == "gpu":
            images = augment_batch(images, augmentation_of(self.config), batch.epoch, batch.start)
        loss = self.batch_loss(images, batch.class_indices, batch.valid)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def batch_loss(self, images: torch.Tensor, class_indices: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Return the loss of images that pass through the network at once, a scalar to differentiate.

        Args:
            images: uint8 [B, 3, H, W] on the device, augmented.
            class_indices: int64 [B].
            valid: bool [B].
        """
        device = self.ranks.device
        with autocast(device, self.config.run.amp):
            outputs = self.replica(self.network.inputs(images, device))
            loss: torch.Tensor = self.loss(outputs, class_indices, valid)
        return loss

    def save(self, run: Path, step: int, skipped: int) -> Path:
        """Write a checkpoint of the state after `step` steps, and return its folder; for the first process alone."""
        config, dataset = self.config, self.dataset
        card = ModelCard(
            model=config.model.name,
            num_classes=len(dataset.hierarchy),
            image_size=config.data.image_size,
            class_list_sha256=dataset.class_list_sha256,
            step=step,
            config=config,
        )
        groups = tuple({k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups)
        state = RunState(
            step=step,
            epoch=step // self.plan.steps_per_epoch,
            samples=step * self.plan.global_batch,
            skipped=skipped,
            dataset_sha256=dataset.digest,
            config=config,
            scaler=self.scaler.state_dict(),
            groups=groups,
        )
        tensors = optimizer_tensors(self.network, self.optimizer)
        return save_checkpoint(run, card, state, self.network.weights(), tensors, config.run.keep_checkpoints)

    def restore(self, start: Start) -> None:
        """Take the state of the checkpoint from which a run goes on.

        Raises:
            TrainError: it is damaged, or of another model or class list.
        """
        if start.checkpoint is None or start.state is None:
            return
        path = start.checkpoint / MODEL
        check_classes(path, read_card(path), len(self.dataset.hierarchy), self.dataset.class_list_sha256)
        try:
            self.network.load(load_tensors(path))
        except RuntimeError as error:
            raise TrainError(f"{path} does not fit timm's {self.config.model.name}: {one_line(error)}") from error
        load_optimizer_tensors(self.network, self.optimizer, load_tensors(start.checkpoint / OPTIMIZER))
        if start.state.scaler and self.scaler.is_enabled():
            self.scaler.load_state_dict(dict(start.state.scaler))


def resolved(config: Config, dataset: TrainingData) -> Config:
    """Return a configuration with timm's name of the model, and the image size in pixels, not 0 for the dataset's.

    Raises:
        TrainError: neither the configuration nor the dataset says the size, or timm lacks the model's weights.
    """
    config = replace(config, model=resolve_model(config.model))
    if config.data.image_size:
        return config
    if dataset.image_size is None:
        raise TrainError(f"{dataset.name} does not say how large its images are; name --image-size")
    return replace(config, data=replace(config.data, image_size=dataset.image_size))


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
    if run.workers < 0:
        config = replace(config, run=replace(run, workers=default_workers(ranks.local_world_size)))
    plan = TrainPlan(
        dataset.shard_lengths("train"), run.seed, optim.epochs, config.data.batch_size, ranks.rank, ranks.world_size
    )
    torch.manual_seed(run.seed)
    order = level_order(dataset.hierarchy)
    loss = build_loss(config, order, dataset.label_sets).to(ranks.device)
    resumed = start.state is not None  # its weights come from the checkpoint
    model = replace(config.model, pretrained=False, init="") if resumed else config.model
    network = build_network(model, order, config.data.image_size)
    module = network.module.to(ranks.device)
    on_gpu = ranks.device.type == "cuda"
    torch.backends.cudnn.benchmark = on_gpu  # all batches have one shape
    if on_gpu and config.model.channels_last:
        module.to(memory_format=torch.channels_last)
    if on_gpu and config.model.sync_bn and ranks.world_size > 1:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        network = replace(network, module=module)
    optimizer = build_optimizer(network, optim)
    scaler = loss_scaler(ranks.device, run.amp)
    session = Session(config, dataset, ranks, plan, network, network.module, loss, optimizer, scaler)
    session.restore(start)
    return replace(session, replica=_replicated(network.module, ranks))


def _replicated(module: nn.Module, ranks: Ranks) -> nn.Module:
    if ranks.world_size == 1:
        return module
    devices = [ranks.device.index] if ranks.device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)
