"""What a run says while it trains: how far it has come, and rows of its curves; and the summary at its end."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from in21k.train.config.sizes import schedule_of
from in21k.train.data.interfaces import TrainingData
from in21k.train.evaluation.val_bar import PassingValBar, ValBar
from in21k.train.evaluation.val_pass import NO_VAL
from in21k.train.run.curves import CurvePoint, CurveWriter
from in21k.train.run.folder import Start
from in21k.train.trainer.session import Session
from in21k.train.trainer.step_bar import StepBar, run_timing
from in21k.train.trainer.tally import Interval, Meter, Tally, ValResult


class RunLog:
    """How far a run has come, and its curves; ranks other than the first write neither."""

    def __init__(self, session: Session, run: Path, start_step: int, *, bar: bool) -> None:
        """Open both.

        Args:
            session: of the run.
            run: the run's folder.
            start_step: steps done.
            bar: whether to show how far the run has come.
        """
        first = session.ranks.is_first
        self._session = session
        self._curves = CurveWriter(run, start_step, validates=session.validates(start_step)) if first else None
        self._shown = first and bar
        self._timing = run_timing(session.config.run.log_minutes)
        self._bar = StepBar(session, start_step, shown=self._shown, timing=self._timing)

    def step_done(self, meter: Meter) -> None:
        """Count a step."""
        self._bar.step_done(meter)

    def after_step(self, meter: Meter) -> None:
        """Say how far the run has come, where it is time for that; after a step's row, checkpoint and val pass."""
        self._bar.after_step(meter)

    @contextmanager
    def validating(self) -> Iterator[ValBar]:
        """Yield what counts the batches of a val pass."""
        session, began = self._session, self._timing.clock()
        samples, batch = session.dataset.samples("val"), session.config.data.eval_batch_size * session.ranks.world_size
        timing = replace(self._timing, first=self._timing.every)
        with PassingValBar(samples, batch, shown=self._shown, timing=timing) as bar:
            yield bar
        self._bar.val_seconds = self._timing.clock() - began

    def write_train(self, step: int, measured: Interval) -> None:
        """Write a row of the curves for the steps since the last one."""
        session, gradients, scale = self._session, measured.gradients, self._session.loss_scale()
        rate = measured.steps * session.plan.global_batch / measured.seconds
        self._bar.add(measured.pace)
        if self._curves is None:
            return
        device = session.ranks.device
        on_gpu = device.type == "cuda"
        self._curves.write(
            CurvePoint(
                step=step,
                epoch=self._epoch(step),
                split="train",
                loss=measured.loss,
                lr=session.learning_rate(step - 1),
                images_per_second=round(rate, 2),
                data_wait=round(measured.wait / measured.seconds, 4),
                gpu_memory_mb=round(torch.cuda.max_memory_allocated(device) / 2**20, 1) if on_gpu else None,
                gradient_norm=float(f"{gradients.mean_norm:.6g}") if gradients.non_finite < measured.steps else None,
                loss_scale=scale,
                overflows=gradients.non_finite if scale is not None else None,
                skipped=measured.skipped,
            )
        )

    def write_val(self, step: int, evaluation: ValResult) -> None:
        """Write a row of the curves for a val pass."""
        self._bar.add_val(evaluation)
        if self._curves is None:
            return
        self._curves.write(
            CurvePoint(
                step=step,
                epoch=self._epoch(step),
                split="val",
                loss=evaluation.loss,
                semantic_top1=evaluation.semantic_top1,
                **evaluation.curve,
                overflows=None,
                skipped=evaluation.skipped,
            )
        )

    def close(self) -> None:
        """Close both."""
        self._bar.close()
        if self._curves is not None:
            self._curves.close()

    def _epoch(self, step: int) -> float:
        return round(step / self._session.plan.steps_per_epoch, 4)


def run_summary(session: Session, run: Path, start: Start, tally: Tally, seconds: float) -> dict[str, Any]:
    """Return the final figures of a run, as summary.json and the command line show them."""
    plan, dataset = session.plan, session.dataset
    return {
        "run": str(run),
        "checkpoint": str(tally.checkpoint),
        "model": session.config.model.name,
        **session.described(),
        "classes": len(dataset.hierarchy),
        "image_size": schedule_of(session.config.data.image_size).last,
        "processes": session.ranks.world_size,
        "device": session.ranks.device.type,
        "batch_size": plan.global_batch,
        "epochs": plan.epochs,
        "steps": tally.step,
        "resumed_at_step": start.step,
        "train_images": sum(plan.shard_lengths),
        "carried_over_images": plan.carried_over,
        "skipped_images": tally.skipped,
        "overflowed_steps": tally.overflows,
        "train_loss": None if math.isnan(tally.train_loss) else tally.train_loss,
        **_val_summary(tally, dataset),
        "seconds": round(seconds, 2),
        "images_per_second": round((tally.step - start.step) * plan.global_batch / seconds, 2),
    }


def _val_summary(tally: Tally, data: TrainingData) -> dict[str, Any]:
    """Return the figures of the last val pass, or that there is no val split."""
    if tally.evaluation is None:
        return NO_VAL
    return tally.evaluation.to_dict(data)
