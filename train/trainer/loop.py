"""The training loop: steps, curves, val passes and checkpoints."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.train.config.settings import Config, RunConfig
from in21k.train.data.fraction import with_fraction
from in21k.train.data.held_out import left_out_of
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_data import SHARDS, DataRequest, open_to_pretrain
from in21k.train.data.open_datasets.taxonomy import in_taxonomy
from in21k.train.device.header import print_header
from in21k.train.device.ranks import Ranks, Timeouts, join_ranks, was_restarted
from in21k.train.evaluation.class_scores import write_class_scores
from in21k.train.evaluation.predictions import run_predictions, write_classes_beside
from in21k.train.evaluation.val_pass import Interrupted, evaluate_val
from in21k.train.losses.schemes import IN_HIERARCHY
from in21k.train.run.checkpoint_writer import CheckpointWriter
from in21k.train.run.curve_plot import PLOT, plot_curves
from in21k.train.run.folder import SUMMARY, Start, begin_run, log_skipped
from in21k.train.run.lock import run_lock
from in21k.train.run.resolve import resolved
from in21k.train.stream.batch import StepBatch
from in21k.train.stream.batch_stream import WaitClock
from in21k.train.stream.decoder import check_skipped
from in21k.train.stream.device_stream import device_stream
from in21k.train.stream.source import read_options, train_source
from in21k.train.trainer.build import open_session
from in21k.train.trainer.finite import check_finite
from in21k.train.trainer.header import run_facts
from in21k.train.trainer.log import RunLog, run_summary
from in21k.train.trainer.notes import tell_begun
from in21k.train.trainer.peers import peers_watched
from in21k.train.trainer.preemption import Preempted, SaveClock, StopRequest, stop_request
from in21k.train.trainer.session import Session
from in21k.train.trainer.start import Asked, agreed_start, begun_or_named, config_of, recipe_of
from in21k.train.trainer.tally import Meter, Tally, ValResult


def pretrain(
    data: str | DataRequest, run: Path, asked: Asked, *, resume: bool = False, progress: bool = True
) -> dict[str, Any] | None:
    """Train a model on a prepared dataset, by its folder or URI, or on what a request asks; otherwise as `train_on`."""
    request = data if isinstance(data, DataRequest) else DataRequest(data, layout=SHARDS)
    return train_on(lambda: open_to_pretrain(request, run), run, asked, resume=resume, progress=progress)


def train_on(
    open_data: Callable[[], TrainingData],
    run: Path,
    asked: Asked,
    *,
    resume: bool = False,
    progress: bool = True,
    task: "Task | None" = None,
) -> dict[str, Any] | None:
    """Train a model on any data and return the run's summary; None on all ranks but the first.

    The run's folder gets config.json, metrics.csv, tensorboard/, checkpoints/, val_classes.csv, curves.png and, last,
    summary.json; skipped.csv names the images that do not decode.

    Args:
        open_data: returns the data; each rank calls it.
        run: the run's folder.
        asked: the configuration, in which an image size of 0 is the dataset's; or a recipe with values that replace
            its own, which the run records: resumed, it keeps the values that it was started with.
        resume: continue the run in the folder, on any number of ranks and workers; a run that torchrun restarts
            continues in any case.
        progress: say how far the run has come: a bar on a terminal, lines elsewhere.
        task: what to train for; by default, to classify images.

    Raises:
        DatasetError: the data or the run's folder is not usable.
        TrainError: the run cannot begin, or its loss, a gradient or a weight is no longer finite.
        Preempted: SIGTERM or Ctrl-C ended the run; a checkpoint was written, and no summary.
    """
    task = task or Task(resolved, open_session, Trainer)
    with _joined(config_of(asked).run) as ranks, run_lock(run) as lock:
        resume = was_restarted(ranks) or resume
        asked = begun_or_named(asked, run, ranks, lock, resume=resume)
        dataset = _as_asked(open_data(), config_of(asked))
        config = task.resolved(config_of(asked), dataset, ranks)
        start = agreed_start(run, config, dataset, ranks, resume=resume)
        session = task.open_session(config, dataset, ranks, start)
        began = time.perf_counter()
        with dataset.cached(read_options(config.data)):
            if ranks.is_first:
                begin_run(run, start, config, dataset, lock, resume=resume, asked=asked)
                tell_begun(run, start, dataset, asked, resume=resume)
            print_header(ranks, config.run, run_facts(session, start, recipe_of(asked)), left_out_of(dataset))
            trainer = _train(task.trainer, session, run, start, bar=progress)
        if not trainer.stopped_by:
            summary = run_summary(session, run, start, trainer.tally, time.perf_counter() - began)
            _keep_summary(summary, run, ranks)
    if trainer.stopped_by:
        raise Preempted(trainer.tally.step, trainer.stopped_by, is_first=ranks.is_first)
    return summary if ranks.is_first else None


def _as_asked(data: TrainingData, config: Config) -> TrainingData:
    """Return a fraction of data, with the classes above their own where the scheme learns by hierarchy."""
    return with_fraction(in_taxonomy(data) if config.loss.scheme in IN_HIERARCHY else data, config.data.fraction)


def _joined(run: RunConfig) -> AbstractContextManager[Ranks]:
    """Return the context in which this rank has joined the others."""
    return join_ranks(run.device, Timeouts(run.start_timeout_minutes, run.timeout_minutes))


def _keep_summary(summary: dict[str, Any], run: Path, ranks: Ranks) -> None:
    """Draw the curves and write the summary, in the run's folder, last of all."""
    if ranks.is_first:
        plot_curves([run], run / PLOT)
        write_atomic(run / SUMMARY, json.dumps(summary, indent=1).encode() + b"\n")


def _train(kind: "type[Trainer]", session: Session, run: Path, start: Start, *, bar: bool) -> "Trainer":
    """Train to the end of the run or until a signal stops it, and return the trainer."""
    clock = SaveClock(session.config.run.checkpoint_minutes if session.ranks.is_first else 0.0)
    with (
        stop_request(session.ranks, clock) as request,
        closing(RunLog(session, run, start.step, bar=bar)) as log,
        CheckpointWriter(run, session.config.run.keep_checkpoints) as writer,
        peers_watched(session.ranks, request, writer.settle),
    ):
        trainer = kind(session=session, run=run, start=start, request=request, log=log, writer=writer)
        trainer.train()
    trainer.tally.checkpoint = writer.newest or start.checkpoint
    return trainer


class Trainer:
    """One rank's part in a run: it takes the steps, and logs, saves and validates between them."""

    def __init__(
        self,
        session: Session,
        run: Path,
        start: Start,
        request: StopRequest,
        log: RunLog,
        writer: CheckpointWriter,
    ) -> None:
        self.session = session
        self.tally = Tally(start.step, start.skipped, start.checkpoint)
        self.stopped_by = 0
        """The number of the signal that ends the run now; 0 for none."""
        self._saving = False  # whether the clock asks for a checkpoint
        self.run = run
        self._request, self._log, self._writer = request, log, writer
        self._meter = Meter(session.ranks.device)

    def train(self) -> None:
        """Train to the end of the run or until a signal stops it; every rank must call it.

        Raises:
            TrainError: a shard is damaged, too many images do not decode, or a loss, gradient or weight is not finite.
        """
        self.session.train_module.train()
        if self.session.validates(self.tally.step):  # the run ended during this val pass, so its row is missing
            self._validate()
            self._meter.restart()
            self._log.after_step(self._meter)
        if not self.stopped_by:
            self._take_steps()

    def _take_steps(self) -> None:
        session, tally, first = self.session, self.tally, self.tally.step
        with self.open_stream(first, self._meter.clock) as stream:
            for batch in stream:
                result = session.train_step(batch, tally.step)
                tally.step += 1
                self._meter.add(result, batch, tally.step)
                if batch.skipped:
                    log_skipped(self.run, tally.step, batch.skipped)
                self._log.step_done(self._meter)
                self._is_stopped()
                if tally.step == first + 2:
                    self._request.end_start()
                self._writer.check()
                self._after_step()
                self._log.after_step(self._meter)
                if self.stopped_by:
                    return

    def _is_stopped(self) -> bool:
        """Return whether a signal ends the run now, and note whether a checkpoint is due; every rank must call it."""
        agreed = self._request.agree()
        self.stopped_by = self.stopped_by or agreed.number
        self._saving |= agreed.save
        return bool(agreed.number)

    def _after_step(self) -> None:
        """Log, save and validate when due.

        The checkpoint comes after its row of the curves, so that a resumed run misses none, and before the val pass,
        which takes long; a run that is resumed from it validates first.
        """
        session, step = self.session, self.tally.step
        saves = bool(self.stopped_by) or self._saving or session.saves(step)
        validates = session.validates(step)
        if not (saves or validates or step % session.config.run.log_steps == 0):
            return
        self._log_steps()
        if saves:
            self._save()
        if validates and not self.stopped_by:
            self._validate()
            if self.stopped_by and not saves:
                self._save()
        self._meter.restart()

    def _log_steps(self) -> None:
        """Log the steps since the last row of the curves; the only place where training waits for the device."""
        tally, measured = self.tally, self._meter.read(self.session.ranks)
        check_finite(measured.loss, measured.gradients, tally.step, self.session.loss_scale())
        tally.train_loss = measured.loss
        tally.skipped += measured.skipped
        self._check_skipped()
        tally.overflows += measured.gradients.non_finite
        self._log.write_train(tally.step, measured)

    def _check_skipped(self) -> None:
        """Refuse to go on with too many skipped images; they are counted over all ranks, so all of them refuse."""
        session, tally = self.session, self.tally
        check_skipped(
            skipped=tally.skipped,
            seen=tally.step * session.plan.global_batch,
            passes=-(-tally.step // session.plan.steps_per_epoch),
            share=session.config.data.max_skipped,
            name=session.dataset.name,
        )

    def _save(self) -> None:
        self._saving = False
        if self.session.ranks.is_first:
            self._writer.wait()  # so that memory holds one copy at most
            self._writer.start(self.session.snapshot(self.tally.step, self.tally.skipped))

    def _validate(self) -> None:
        """Evaluate the network and log it; a signal to stop ends the val pass."""
        try:
            with self.session.evaluated(), self._log.validating() as bar:
                evaluation = self.evaluate(lambda: bar.batch_done() or self._is_stopped())
        except Interrupted:
            return
        self.session.train_module.train()
        log_skipped(self.run, self.tally.step, evaluation.skipped_keys, "val")
        self.tally.evaluation = evaluation
        self._log.write_val(self.tally.step, evaluation)

    def open_stream(self, start_step: int, clock: WaitClock) -> AbstractContextManager[Iterator[StepBatch]]:
        """Return the context that gives the batches from a step on, on the device.

        Args:
            start_step: the first one.
            clock: counts how long they are waited for.
        """
        session = self.session
        source = train_source(session.dataset, session.config)
        device = session.ranks.device
        return device_stream(source, session.plan, session.config, device, start_step=start_step, clock=clock)

    def evaluate(self, stop: Callable[[], bool]) -> ValResult:
        """Evaluate the network on the val split, and write the scores of each class, and predictions where asked to.

        Args:
            stop: called for each batch, by all ranks alike.

        Raises:
            Interrupted: `stop` returned True.
        """
        session, data, config, ranks = self.session, self.session.dataset, self.session.config, self.session.ranks
        with run_predictions(self.run, data, session.network, config, ranks) as saved:
            watch = saved.update if saved else None
            found = evaluate_val(session.network, session.loss, data, config, ranks, stop=stop, watch=watch)
        if ranks.is_first:
            write_class_scores(self.run, data, found.by_class)
        if ranks.is_first and saved:
            write_classes_beside(saved, data, session.network, found.by_class.values)
        return found


@dataclass(frozen=True)
class Task:
    """What a run trains for."""

    resolved: Callable[[Config, TrainingData, Ranks], Config]
    """Returns the configuration with its names and defaults resolved."""
    open_session: Callable[[Config, TrainingData, Ranks, Start], Session]
    """Returns what a rank trains with."""
    trainer: type[Trainer]
