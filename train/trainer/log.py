"""What a run writes while it goes: a row of its curves for some steps, and one for each validation."""

import math
from pathlib import Path
from typing import Any

import torch

from in21k.train.evaluation.val_pass import Interrupted, evaluate_val
from in21k.train.run.curves import CurvePoint
from in21k.train.run.folder import Start
from in21k.train.trainer.finite import check_finite
from in21k.train.trainer.progress import Progress
from in21k.train.trainer.session import Session


def log_step(session: Session, state: Progress) -> None:
    """Write a row of the curves; the one place where training waits for the device. Every process must call it.

    Raises:
        TrainError: the loss or a gradient is infinite or no number.
    """
    meter, ranks, plan = state.meter, session.ranks, session.plan
    summed = torch.stack([meter.loss / (meter.steps * ranks.world_size), meter.loss.new_tensor(meter.skipped)])
    loss, skipped = ranks.sum(summed).tolist()
    gradients, scale, seconds = meter.gradients.read(), session.loss_scale(), meter.seconds()
    check_finite(loss, gradients, state.step, scale)
    state.train_loss = loss
    state.skipped += int(skipped)
    state.overflows += gradients.not_finite
    rate = meter.steps * plan.global_batch / seconds
    state.bar.set_postfix(loss=f"{loss:.4f}", images_per_s=f"{rate:.0f}", refresh=False)
    if state.curves is None:
        return
    on_gpu = ranks.device.type == "cuda"
    state.curves.write(
        CurvePoint(
            step=state.step,
            epoch=round(state.step / plan.steps_per_epoch, 4),
            split="train",
            loss=loss,
            lr=session.learning_rate(state.step - 1),
            images_per_second=round(rate, 2),
            data_wait=round(meter.wait / seconds, 4),
            gpu_memory_mb=round(torch.cuda.max_memory_allocated(ranks.device) / 2**20, 1) if on_gpu else None,
            gradient_norm=float(f"{gradients.mean_norm:.6g}") if gradients.not_finite < meter.steps else None,
            loss_scale=scale,
            overflows=gradients.not_finite if scale is not None else None,
            skipped=int(skipped),
        )
    )


def validate(session: Session, state: Progress) -> None:
    """Evaluate the network and write a row of the curves, or let SIGTERM end the run; every process must call it.

    Raises:
        TrainError: a shard is damaged, or no image decodes.
    """

    def stop() -> bool:
        agreed = state.request.agree()
        state.stopping |= agreed.stop
        state.saving |= agreed.save
        return agreed.stop

    try:
        with session.evaluated():
            evaluation = evaluate_val(
                session.network, session.loss, session.dataset, session.config, session.ranks, stop
            )
    except Interrupted:
        return
    session.train_module.train()
    state.evaluation = evaluation
    if state.curves is not None:
        epoch = round(state.step / session.plan.steps_per_epoch, 4)
        state.curves.write(
            CurvePoint(
                state.step,
                epoch,
                "val",
                evaluation.loss,
                semantic_top1=evaluation.top1.micro if evaluation.top1 else None,
                **evaluation.metrics,
                overflows=None,
                skipped=evaluation.skipped,
            )
        )


def run_summary(session: Session, run: Path, start: Start, state: Progress, seconds: float) -> dict[str, Any]:
    """Return the final figures of a run, as summary.json and the command line give them."""
    assert state.evaluation is not None
    plan, dataset = session.plan, session.dataset
    return {
        "run": str(run),
        "checkpoint": str(state.checkpoint),
        "model": session.config.model.name,
        "scheme": session.config.loss.scheme,
        "classes": len(dataset.hierarchy),
        "image_size": session.config.data.image_size,
        "processes": session.ranks.world_size,
        "device": session.ranks.device.type,
        "batch_size": plan.global_batch,
        "epochs": plan.epochs,
        "steps": state.step,
        "resumed_at_step": start.step,
        "train_images": sum(plan.shard_lengths),
        "carried_over_images": plan.carried_over,
        "skipped_images": state.skipped,
        "overflowed_steps": state.overflows,
        "train_loss": None if math.isnan(state.train_loss) else state.train_loss,
        **state.evaluation.to_dict(dataset),
        "seconds": round(seconds, 2),
        "images_per_second": round((state.step - start.step) * plan.global_batch / seconds, 2),
    }
