"""A detector's session: what one rank trains with, and the losses of its batches."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.detection.box_stream import BoxBatch, box_data
from in21k.train.detection.detector import Detector, build_detector, losses_of
from in21k.train.device.backend import prepare_backend
from in21k.train.device.precision import autocast
from in21k.train.device.ranks import Ranks
from in21k.train.model.on_device import training_module
from in21k.train.run.folder import Start
from in21k.train.stream.batch import StepBatch
from in21k.train.trainer.build import learning_parts, model_to_build, network_on_ranks, train_plan
from in21k.train.trainer.session import Session

_BLANK_SIDE = 64


@dataclass(frozen=True, eq=False, kw_only=True)
class BoxSession(Session):
    """What one rank trains a detector with."""

    detector: Detector

    def micro_losses(self, batch: StepBatch) -> list[Callable[[], torch.Tensor]]:
        """Return what computes the loss of each of a batch's micro-batches, `optim.accumulate` of them."""
        assert isinstance(batch, BoxBatch)
        size = self.plan.batch_size // self.config.optim.accumulate
        starts = range(0, self.plan.batch_size, size)
        return [partial(self._loss, batch.part(start, start + size)) for start in starts]

    def described(self) -> dict[str, Any]:
        """Return what the summary says of what is learned."""
        data = box_data(self.dataset)
        kept = sum(each.is_kept for each in data.skipped_boxes)
        return {
            "task": "detection",
            "head": self.config.detection.head,
            "pretrained_tensors": self.detector.loaded,
            "skipped_boxes": len(data.skipped_boxes) - kept,
            "clipped_boxes": kept,
        }

    def _loss(self, part: BoxBatch) -> torch.Tensor:
        run, device = self.config.run, self.ranks.device
        images, targets = part.images, list(zip(part.boxes, part.classes, strict=True))
        if not images:  # none decodes: the ranks still exchange gradients, of which these are zero
            images = (torch.zeros(3, _BLANK_SIDE, _BLANK_SIDE, dtype=torch.uint8, device=device),)
            targets = [(torch.zeros(0, 4, device=device), torch.zeros(0, dtype=torch.int64, device=device))]
        with autocast(device, run.amp, run.amp_dtype):
            loss = losses_of(self.train_module, images, targets, self.detector.first_label)
        return loss if len(part) else loss * 0


def open_box_session(config: Config, data: TrainingData, ranks: Ranks, start: Start) -> BoxSession:
    """Return a rank's session, at the step from which the run starts.

    Args:
        config: resolved.
        data: images with boxes.
        ranks: this rank among the others.
        start: the start of the run, or the checkpoint to resume.

    Raises:
        TrainError: the configuration does not fit the data or the ranks, or weights are not usable.
    """
    prepare_backend(config.run, ranks.device, few_shapes=False)
    plan = train_plan(config, data, ranks)
    torch.manual_seed(config.run.seed)
    model = model_to_build(config, start)
    detector = build_detector(replace(config, model=model), len(data.hierarchy))
    if model != config.model:
        detector = replace(detector, loaded=detector.tensors)  # as at the start of the run, which loads all or fails
    network = network_on_ranks(detector.network, config, ranks)
    session = BoxSession(
        config=config,
        dataset=data,
        ranks=ranks,
        plan=plan,
        network=network,
        loss=nn.Identity(),  # the detector computes its own
        detector=replace(detector, network=network),
        **learning_parts(network, config, ranks),
    )
    session.restore(start)
    return replace(session, train_module=training_module(network.module, ranks, config.run))
