"""The training loop: steps, curves, validation and checkpoints."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.ranks import Ranks, join_ranks, was_restarted
from in21k.train.errors import TrainError
from in21k.train.run.curve_plot import PLOT, plot_curves
from in21k.train.run.curves import CurveWriter
from in21k.train.run.folder import SUMMARY, Start, begin_run, find_start, log_skipped
from in21k.train.run.resolve import resolved
from in21k.train.stream.batch import Batch
from in21k.train.stream.loader import open_stream
from in21k.train.stream.prefetch import on_device
from in21k.train.stream.source import read_options, train_source
from in21k.train.trainer.build import open_session
from in21k.train.trainer.finite import GradientWatch
from in21k.train.trainer.log import log_step, run_summary, validate
from in21k.train.trainer.preemption import Preempted, StopRequest, stop_request
from in21k.train.trainer.progress import Meter, Progress, SaveClock
from in21k.train.trainer.session import Session


def pretrain(
    data: str, run: Path, config: Config, *, resume: bool = False, progress: bool = True
) -> dict[str, Any] | None:
    """Train a model on a prepared dataset, a folder or a URI; otherwise as `train_on`."""
    return train_on(lambda: open_dataset(data), run, config, resume=resume, progress=progress)


def train_on(
    open_data: Callable[[], TrainingData], run: Path, config: Config, *, resume: bool = False, progress: bool = True
) -> dict[str, Any] | None:
    """Train a model on any data and return the run's summary; None on all processes but the first.

    The run's folder gets config.json, metrics.csv, tensorboard/, checkpoints/, curves.png and, last, summary.json;
    skipped.csv names the images that do not decode.

    Args:
        open_data: returns the data; each process calls it.
        run: the run's folder.
        config: an image size of 0 is the dataset's.
        resume: go on with the run that the folder holds, on any number of processes and workers; what torchrun has
            started again goes on in any case.
        progress: show a bar where a terminal looks on.

    Raises:
        DatasetError: the data or the run's folder is not usable.
        TrainError: the run cannot begin, or its loss, a gradient or a weight is no longer a number.
        Preempted: SIGTERM ended it; a checkpoint was written, and no summary.
    """
    with join_ranks(config.run.device) as ranks:
        dataset = open_data()
        config = resolved(config, dataset, ranks)
        start = find_start(run, config, dataset, resume=was_restarted(ranks) or resume)
        _check_same_start(start, ranks)
        session = open_session(config, dataset, ranks, start)
        began = time.perf_counter()
        with dataset.cached(read_options(config.data)):
            if ranks.is_first:
                begin_run(run, config, dataset)
            state = _train(session, run, start, progress)
        if not state.stopping:
            summary = run_summary(session, run, start, state, time.perf_counter() - began)
            if ranks.is_first:
                plot_curves([run], run / PLOT)
                write_atomic(run / SUMMARY, json.dumps(summary, indent=1).encode() + b"\n")
    if state.stopping:
        raise Preempted(state.step)
    return summary if ranks.is_first else None


def _train(session: Session, run: Path, start: Start, progress: bool) -> Progress:
    """Train to the end of the run, or until SIGTERM."""
    with stop_request(session.ranks) as request:
        state = _progress(session, run, start, request, progress)
        session.train_module.train()
        try:
            if _validates(session, state.step):  # a process that was ended while it validated left the row out
                validate(session, state)
                state.meter = state.meter.restarted()
            if not state.stopping:
                _steps(session, run, state)
        finally:
            state.bar.close()
            if state.curves is not None:
                state.curves.close()
    return state


def _progress(session: Session, run: Path, start: Start, request: StopRequest, progress: bool) -> Progress:
    first, device = session.ranks.is_first, session.ranks.device
    total = session.plan.total_steps
    return Progress(
        start.step,
        start.skipped,
        Meter(device, GradientWatch(device)),
        CurveWriter(run, start.step, validates=_validates(session, start.step)) if first else None,
        tqdm(total=total, initial=start.step, unit="step", disable=None if first and progress else True),
        SaveClock(session.config.run.checkpoint_minutes if first else 0.0),
        request,
        checkpoint=start.checkpoint,
    )


def _steps(session: Session, run: Path, state: Progress) -> None:
    """Take the steps that are left, as long as nobody asks to stop."""
    loaded = open_stream(
        train_source(session.dataset, session.config),
        session.plan,
        start_step=state.step,
        workers=session.config.run.workers,
        pin_memory=session.ranks.device.type == "cuda",
    )
    stream = on_device(loaded, session.ranks.device)
    try:
        for batch in _timed(stream, state):
            result = session.train_step(batch, state.step)
            state.step += 1
            state.meter.add(result, batch, state.step)
            if batch.labels.skipped:
                log_skipped(run, state.step, batch.labels.skipped)
            state.bar.update()
            agreed = state.request.agree(save=state.clock.rings())
            state.stopping, state.saving = agreed.stop, state.saving or agreed.save
            _after_step(session, run, state)
            if state.stopping:
                return
    finally:
        stream.close()


def _validates(session: Session, step: int) -> bool:
    """Return whether a validation follows the step."""
    every = session.config.run.eval_epochs * session.plan.steps_per_epoch
    return step == session.plan.total_steps or (step > 0 and step % every == 0)


def _after_step(session: Session, run: Path, state: Progress) -> None:
    """Log, save and validate where it is time.

    The checkpoint comes after its row, so that a resumed run misses none, and before the validation, which takes long;
    a run that goes on from it validates first.
    """
    settings, per_epoch, total = session.config.run, session.plan.steps_per_epoch, session.plan.total_steps
    asked = state.stopping or state.saving
    saves = asked or state.step == total or state.step % (settings.checkpoint_steps or per_epoch) == 0
    validates = _validates(session, state.step)
    if not (saves or validates or state.step % settings.log_steps == 0):
        return
    log_step(session, state)
    if saves:
        _save(session, run, state)
    if validates and not state.stopping:
        validate(session, state)
        if state.stopping and not saves:
            _save(session, run, state)
    state.meter = state.meter.restarted()


def _save(session: Session, run: Path, state: Progress) -> None:
    state.saving = False
    if session.ranks.is_first:
        state.checkpoint = session.save(run, state.step, state.skipped)


def _timed(stream: Iterator[Batch], state: Progress) -> Iterator[Batch]:
    """Yield the batches, and add the time that they were waited for to the meter."""
    while True:
        began = time.perf_counter()
        batch = next(stream, None)
        if batch is None:
            return
        state.meter.wait += time.perf_counter() - began
        yield batch


def _check_same_start(start: Start, ranks: Ranks) -> None:
    steps = ranks.sum(torch.tensor([start.step], dtype=torch.int64, device=ranks.device))
    if int(steps) != start.step * ranks.world_size:
        raise TrainError(
            "the processes find different checkpoints; --output must lie on a file system that all of them share"
        )
