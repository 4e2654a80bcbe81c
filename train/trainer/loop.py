"""The training loop: steps, curves, val passes and checkpoints."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import torch

from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.train.config.settings import Config, RunConfig
from in21k.train.data.fraction import with_fraction
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_data import SHARDS, DataRequest, open_to_pretrain
from in21k.train.data.open_datasets.taxonomy import in_taxonomy
from in21k.train.device.ranks import Ranks, Timeouts, join_ranks, was_restarted
from in21k.train.device.start_line import print_start
from in21k.train.errors import TrainError
from in21k.train.evaluation.class_scores import write_class_scores
from in21k.train.evaluation.predictions import collector_of
from in21k.train.evaluation.val_pass import Interrupted, evaluate_val
from in21k.train.losses.schemes import IN_HIERARCHY
from in21k.train.recipes.choice import Choice, resumed
from in21k.train.run.checkpoint_writer import CheckpointWriter
from in21k.train.run.curve_plot import PLOT, plot_curves
from in21k.train.run.folder import SUMMARY, Start, begin_run, find_start, is_begun, log_skipped
from in21k.train.run.lock import run_lock
from in21k.train.run.resolve import resolved
from in21k.train.stream.decoder import check_skipped
from in21k.train.stream.device_stream import device_stream
from in21k.train.stream.source import read_options, train_source
from in21k.train.trainer.build import open_session
from in21k.train.trainer.finite import check_finite
from in21k.train.trainer.log import RunLog, run_summary
from in21k.train.trainer.notes import tell_changed, tell_missing, tell_one_level, tell_unusable
from in21k.train.trainer.peers import peers_watched
from in21k.train.trainer.preemption import Preempted, SaveClock, StopRequest, stop_request
from in21k.train.trainer.progress import Meter, Progress
from in21k.train.trainer.session import Session

Asked = Config | Choice
"""What to train with: a configuration, or a recipe with values of its own."""


def pretrain(
    data: str | DataRequest, run: Path, asked: Asked, *, resume: bool = False, progress: bool = True
) -> dict[str, Any] | None:
    """Train a model on a prepared dataset, by its folder or URI, or on what a request asks; otherwise as `train_on`."""
    request = data if isinstance(data, DataRequest) else DataRequest(data, layout=SHARDS)
    return train_on(lambda: open_to_pretrain(request, run), run, asked, resume=resume, progress=progress)


def train_on(
    open_data: Callable[[], TrainingData], run: Path, asked: Asked, *, resume: bool = False, progress: bool = True
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
        progress: show a bar if there is a terminal.

    Raises:
        DatasetError: the data or the run's folder is not usable.
        TrainError: the run cannot begin, or its loss, a gradient or a weight is no longer finite.
        Preempted: SIGTERM ended the run; a checkpoint was written, and no summary.
    """
    with _joined(_config_of(asked).run) as ranks, run_lock(run) as lock:
        resume = was_restarted(ranks) or resume
        asked = _continued(asked, run, ranks) if resume else asked
        dataset = _as_asked(open_data(), _config_of(asked))
        config = resolved(_config_of(asked), dataset, ranks)
        if ranks.is_first:
            lock.take_if_there()
        start = find_start(run, config, dataset, resume=resume)
        _check_same_start(start, ranks)
        tell_unusable(start, ranks)
        tell_one_level(config, dataset, ranks)
        session = open_session(config, dataset, ranks, start)
        began = time.perf_counter()
        with dataset.cached(read_options(config.data)):
            if ranks.is_first:
                begin_run(run, start, config, dataset, lock, resume=resume, asked=asked)
                tell_missing(run, start, dataset)
            print_start(ranks, config.run, config.data.batch_size)
            trainer = _train(session, run, start, bar=progress)
        if not trainer.stopping:
            summary = run_summary(session, run, start, trainer.progress, time.perf_counter() - began)
            _keep_summary(summary, run, ranks)
    if trainer.stopping:
        raise Preempted(trainer.progress.step)
    return summary if ranks.is_first else None


def _as_asked(data: TrainingData, config: Config) -> TrainingData:
    """Return a fraction of data, with the classes above their own where the scheme learns by hierarchy."""
    return with_fraction(in_taxonomy(data) if config.loss.scheme in IN_HIERARCHY else data, config.data.fraction)


def _config_of(asked: Asked) -> Config:
    return asked.config if isinstance(asked, Choice) else asked


def _joined(run: RunConfig) -> AbstractContextManager[Ranks]:
    """Return the context in which this rank has joined the others."""
    return join_ranks(run.device, Timeouts(run.start_timeout_minutes, run.timeout_minutes))


def _keep_summary(summary: dict[str, Any], run: Path, ranks: Ranks) -> None:
    """Draw the curves and write the summary, in the run's folder, last of all."""
    if ranks.is_first:
        plot_curves([run], run / PLOT)
        write_atomic(run / SUMMARY, json.dumps(summary, indent=1).encode() + b"\n")


def _train(session: Session, run: Path, start: Start, *, bar: bool) -> "Trainer":
    """Train to the end of the run or until SIGTERM, and return the trainer."""
    clock = SaveClock(session.config.run.checkpoint_minutes if session.ranks.is_first else 0.0)
    with (
        stop_request(session.ranks, clock) as request,
        closing(RunLog(session, run, start.step, bar=bar)) as log,
        CheckpointWriter(run, session.config.run.keep_checkpoints) as writer,
        peers_watched(session.ranks, request, writer.settle),
    ):
        trainer = Trainer(session=session, run=run, start=start, request=request, log=log, writer=writer)
        trainer.train()
    trainer.progress.checkpoint = writer.newest or start.checkpoint
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
        self.progress = Progress(start.step, start.skipped, start.checkpoint)
        self.stopping = False
        """Whether SIGTERM ends the run now."""
        self._saving = False  # whether the clock asks for a checkpoint
        self._run, self._request, self._log, self._writer = run, request, log, writer
        self._meter = Meter(session.ranks.device)

    def train(self) -> None:
        """Train to the end of the run or until SIGTERM; every rank must call it.

        Raises:
            TrainError: a shard is damaged, too many images do not decode, or a loss, gradient or weight is not finite.
        """
        self.session.train_module.train()
        if self.session.validates(self.progress.step):  # the run ended during this val pass, so its row is missing
            self._validate()
            self._meter.restart()
        if not self.stopping:
            self._take_steps()

    def _take_steps(self) -> None:
        session, progress = self.session, self.progress
        source, first, config = train_source(session.dataset, session.config), progress.step, session.config
        device, clock = session.ranks.device, self._meter.clock
        with device_stream(source, session.plan, config, device, start_step=first, clock=clock) as stream:
            for batch in stream:
                result = session.train_step(batch, progress.step)
                progress.step += 1
                self._meter.add(result, batch, progress.step)
                if batch.labels.skipped:
                    log_skipped(self._run, progress.step, batch.labels.skipped)
                self._log.step_done()
                self._is_stopped()
                if progress.step == first + 2:
                    self._request.end_start()
                self._writer.check()
                self._after_step()
                if self.stopping:
                    return

    def _is_stopped(self) -> bool:
        """Return whether SIGTERM ends the run now, and note whether a checkpoint is due; every rank must call it."""
        agreed = self._request.agree()
        self.stopping |= agreed.stop
        self._saving |= agreed.save
        return agreed.stop

    def _after_step(self) -> None:
        """Log, save and validate when due.

        The checkpoint comes after its row of the curves, so that a resumed run misses none, and before the val pass,
        which takes long; a run that is resumed from it validates first.
        """
        session, step = self.session, self.progress.step
        saves = self.stopping or self._saving or session.saves(step)
        validates = session.validates(step)
        if not (saves or validates or step % session.config.run.log_steps == 0):
            return
        self._log_steps()
        if saves:
            self._save()
        if validates and not self.stopping:
            self._validate()
            if self.stopping and not saves:
                self._save()
        self._meter.restart()

    def _log_steps(self) -> None:
        """Log the steps since the last row of the curves; the only place where training waits for the device."""
        progress, measured = self.progress, self._meter.read(self.session.ranks)
        check_finite(measured.loss, measured.gradients, progress.step, self.session.loss_scale())
        progress.train_loss = measured.loss
        progress.skipped += measured.skipped
        self._check_skipped()
        progress.overflows += measured.gradients.non_finite
        self._log.write_train(progress.step, measured)

    def _check_skipped(self) -> None:
        """Refuse to go on with too many skipped images; they are counted over all ranks, so all of them refuse."""
        session, progress = self.session, self.progress
        check_skipped(
            skipped=progress.skipped,
            seen=progress.step * session.plan.global_batch,
            passes=-(-progress.step // session.plan.steps_per_epoch),
            share=session.config.data.max_skipped,
            name=session.dataset.name,
        )

    def _save(self) -> None:
        self._saving = False
        if self.session.ranks.is_first:
            self._writer.wait()  # so that memory holds one copy at most
            self._writer.start(self.session.snapshot(self.progress.step, self.progress.skipped))

    def _validate(self) -> None:
        """Evaluate the network and log it; SIGTERM ends the val pass."""
        session, data, config, ranks = self.session, self.session.dataset, self.session.config, self.session.ranks
        seen = collector_of(data, session.network.order, config, ranks)
        watch = seen.update if seen else None
        try:
            with session.evaluated():
                evaluation = evaluate_val(
                    session.network, session.loss, data, config, ranks, stop=self._is_stopped, watch=watch
                )
        except Interrupted:
            return
        session.train_module.train()
        self.progress.evaluation = evaluation
        self._log.write_val(self.progress.step, evaluation)
        if ranks.is_first:
            write_class_scores(self._run, data, evaluation.by_class)
        if seen:
            seen.save(self._run)


def _continued(asked: Asked, run: Path, ranks: Ranks) -> Asked:
    """Return what resuming a run asks for, and say on stderr where its recipe is another one by now."""
    if not isinstance(asked, Choice) or not is_begun(run):
        return asked
    choice, changed = resumed(asked, run)
    tell_changed(run, changed, ranks)
    return choice


def _check_same_start(start: Start, ranks: Ranks) -> None:
    steps = ranks.sum(torch.tensor([start.step], dtype=torch.int64, device=ranks.device))
    if int(steps) != start.step * ranks.world_size:
        raise TrainError("the ranks find different checkpoints; --output must be on a file system that all ranks share")
