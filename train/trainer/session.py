"""A session: what one rank trains with (dataset, network, loss, optimizer, plan), and what it does with it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from in21k.shards_manifest.errors import one_line
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.partition import TrainPlan
from in21k.train.device.backend import backend_errors
from in21k.train.device.precision import autocast
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.images.augment_gpu import augment_batch
from in21k.train.images.mixing import draw_mixing, mix_batch, partners_of
from in21k.train.losses.row_loss import MixedLabels
from in21k.train.model.model_file import MODEL, check_classes, load_tensors, metadata_of, read_metadata
from in21k.train.model.network import Network
from in21k.train.run.checkpoint import EMA, OPTIMIZER, RunState, Snapshot, Tensors, snapshot
from in21k.train.run.folder import Start
from in21k.train.stream.batch import Batch, BatchLabels, StepBatch
from in21k.train.stream.source import augmentation_of, mixing_of
from in21k.train.trainer.ema import WeightEma
from in21k.train.trainer.finite import check_weights
from in21k.train.trainer.optimizer import load_optimizer_tensors, optimizer_tensors, scheduled_rate, set_step
from in21k.train.trainer.teacher import Teacher


class StepResult(NamedTuple):
    """The figures of a step; both are scalars on the device."""

    loss: torch.Tensor
    """Mean over this rank's images."""
    gradient_norm: torch.Tensor
    """Norm of the gradient over all ranks, before it is clipped; infinite or nan if float16 overflowed."""


@dataclass(frozen=True, eq=False)
class Session:
    """What one rank trains with."""

    config: Config
    dataset: TrainingData
    ranks: Ranks
    plan: TrainPlan
    network: Network
    train_module: nn.Module
    """The network's module as training calls it: wrapped for gradient exchange if there are several ranks, and compiled
    on request."""
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Scales the loss for float16; does nothing otherwise."""
    ema: WeightEma | None
    """None if the run keeps no EMA."""
    teacher: Teacher | None = None
    """Gives the distilling schemes its logits; None for the other schemes."""

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        return scheduled_rate(step, self._scheduled_steps, self.config.optim)

    @property
    def _scheduled_steps(self) -> int:
        """Steps of the whole schedule, which may go on after the run's end."""
        return round(self.plan.total_steps / self.config.optim.schedule_share)

    def saves(self, step: int) -> bool:
        """Return whether a checkpoint follows, after `step` steps."""
        every = self.config.run.checkpoint_steps or self.plan.steps_per_epoch
        return step == self.plan.total_steps or step % every == 0

    def validates(self, step: int) -> bool:
        """Return whether a val pass follows, after `step` steps; never without val images."""
        if not self.dataset.samples("val"):
            return False
        every = self.config.run.eval_epochs * self.plan.steps_per_epoch
        return step == self.plan.total_steps or (step > 0 and step % every == 0)

    def train_step(self, batch: StepBatch, step: int) -> StepResult:
        """Take one step; nothing waits for the device.

        Args:
            batch: on the device.
            step: of the run.

        Raises:
            TrainError: the network cannot be compiled, or has no deterministic implementation.
        """
        seed = np.random.SeedSequence([self.config.run.seed, step, self.ranks.rank]).generate_state(1, np.uint64)
        torch.manual_seed(
            int(seed[0] >> np.uint64(1))
        )  # for dropout: a resumed run draws what an uninterrupted one draws
        set_step(self.optimizer, step, self._scheduled_steps, self.config.optim)
        self.optimizer.zero_grad(set_to_none=True)
        with backend_errors(self.config.run):
            loss = self._differentiate(self.micro_losses(batch))
            norm = self._update()
        if self.ema is not None:
            self.ema.update(step)
        return StepResult(loss, norm)

    def micro_losses(self, batch: StepBatch) -> list[Callable[[], torch.Tensor]]:
        """Return what computes the loss of each of a batch's micro-batches, `optim.accumulate` of them."""
        assert isinstance(batch, Batch)
        images, labels = batch.images, batch.labels
        if self.config.data.augment_device == "gpu":
            images = augment_batch(images, augmentation_of(self.config), labels.epoch, labels.start)
        parts = [tensor.chunk(self.config.optim.accumulate) for tensor in self._mixed(images, labels)]
        return [partial(self.batch_loss, *part) for part in zip(*parts, strict=True)]

    def _mixed(self, images: torch.Tensor, labels: BatchLabels) -> tuple[torch.Tensor, ...]:
        """Return what `batch_loss` takes, for augmented images, mixed where the run mixes them."""
        ids, valid, mixing = labels.class_indices, labels.valid, mixing_of(self.config)
        if mixing is None:
            return images, ids, valid
        draws = draw_mixing(mixing, labels.epoch, labels.start, len(images))
        images, shares = mix_batch(images, valid, draws)
        return images, ids, valid, partners_of(ids), shares

    def batch_loss(
        self, images: torch.Tensor, class_indices: torch.Tensor, valid: torch.Tensor, *mixed: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of a micro-batch, a scalar to differentiate.

        Args:
            images: uint8 [B, 3, H, W] on the device, augmented.
            class_indices: int64 [B].
            valid: bool [B].
            mixed: of mixtures, the tensors of `MixedLabels`.
        """
        device, run = self.ranks.device, self.config.run
        with autocast(device, run.amp, run.amp_dtype):
            outputs = self.train_module(self.network.inputs(images, device))
            teacher_logits = None if self.teacher is None else self.teacher(images)
            labels = MixedLabels(*mixed) if mixed else None
            loss: torch.Tensor = self.loss(outputs, class_indices, valid, teacher_logits, labels)
        return loss

    def _differentiate(self, losses: list[Callable[[], torch.Tensor]]) -> torch.Tensor:
        """Accumulate the gradients of a batch's micro-batches, and return their mean loss.

        A loss is the mean over all positions, valid or not, so the mean over micro-batches is the batch's.
        """
        count = len(losses)
        factor = self.config.data.batch_size if self.config.loss.reduction == "sum" else 1  # of all ranks' images
        total = torch.zeros((), device=self.ranks.device)
        no_sync: Any = getattr(self.train_module, "no_sync", nullcontext)  # ranks exchange gradients once per step
        for number, compute in enumerate(losses, 1):
            with no_sync() if number < count else nullcontext():
                loss = compute() / count
                self.scaler.scale(loss * factor if factor != 1 else loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _update(self) -> torch.Tensor:
        """Take an optimizer step, and return the norm of the gradients."""
        self.scaler.unscale_(self.optimizer)
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        norm = get_total_norm([each.grad for each in parameters if each.grad is not None])
        if self.config.optim.clip_norm:
            clip_grads_with_norm_(parameters, self.config.optim.clip_norm, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm

    def described(self) -> dict[str, Any]:
        """Return what the summary says of what is learned."""
        return {"scheme": self.config.loss.scheme}

    def evaluated(self) -> AbstractContextManager[None]:
        """Return the context in which the network has the weights to evaluate: their EMA, if the run keeps one."""
        return self.ema.in_place() if self.ema is not None else nullcontext()

    def loss_scale(self) -> float | None:
        """Return the loss scale of float16, which waits for the device; None without one."""
        return self.scaler.get_scale() if self.scaler.is_enabled() else None

    def snapshot(self, step: int, skipped: int) -> Snapshot:
        """Return a checkpoint of the state after `step` steps, on the host; only the first rank calls it.

        Raises:
            TrainError: a weight is not finite.
        """
        groups = tuple({k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups)
        state = RunState(
            step=step,
            epoch=step // self.plan.steps_per_epoch,
            samples=step * self.plan.global_batch,
            skipped=skipped,
            dataset_sha256=self.dataset.digest,
            config=self.config,
            scaler=self.scaler.state_dict(),
            groups=groups,
        )
        ema = self.ema.weights() if self.ema is not None else None
        tensors = Tensors(self.network.weights(), optimizer_tensors(self.network, self.optimizer), ema)
        check_weights(tensors.weights, step)
        return snapshot(metadata_of(self.config, self.dataset, step), state, tensors)

    def restore(self, start: Start) -> None:
        """Load the checkpoint from which a run is resumed, if there is one.

        Raises:
            TrainError: the checkpoint is damaged, or of another model or class list.
        """
        if start.checkpoint is None or start.state is None:
            return
        path = start.checkpoint / MODEL
        check_classes(path, read_metadata(path), len(self.dataset.hierarchy), self.dataset.class_list_sha256)
        try:
            self.network.load(load_tensors(path))
        except RuntimeError as error:
            raise TrainError(f"{path} does not fit timm's {self.config.model.name}: {one_line(error)}") from error
        load_optimizer_tensors(self.network, self.optimizer, load_tensors(start.checkpoint / OPTIMIZER))
        if self.ema is not None:
            self.ema.load(load_tensors(start.checkpoint / EMA))
        if start.state.scaler and self.scaler.is_enabled():
            self.scaler.load_state_dict(dict(start.state.scaler))
