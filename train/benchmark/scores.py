"""The scores of a benchmark: of each run, and over the runs of each checkpoint or group of checkpoints on each task."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from in21k.shards_manifest.errors import one_line
from in21k.train.benchmark.bootstrap import Interval, interval
from in21k.train.benchmark.checkpoints import Group
from in21k.train.benchmark.folder import read_summary
from in21k.train.benchmark.outcomes import Outcomes
from in21k.train.benchmark.plan import PlannedRun
from in21k.train.benchmark.tasks_file import Task
from in21k.train.errors import TrainError

_ROUNDING = 1e-9
"""By which a share may pass 0 or 1."""


@dataclass(frozen=True)
class RunScore:
    """The score of a run that has finished."""

    run: PlannedRun
    metric: str
    """Its key in the summary."""
    score: float
    """0 to 1."""


@dataclass(frozen=True)
class Cell:
    """The scores of a label's checkpoints on a task; all but counts are shares of 0 to 1."""

    label: str
    task: str
    metric: str
    runs: int
    checkpoints: int
    mean: float
    """Over the runs."""
    std: float | None
    """Standard deviation over the runs, with n - 1; None of a single run."""
    std_checkpoints: float | None
    """That of the checkpoints' means over their seeds: how much pretraining again changes; None of one checkpoint."""
    std_seeds: float | None
    """That over the seeds of a checkpoint, pooled over the checkpoints; None where no checkpoint has two."""
    interval: Interval | None
    """Of the mean, by bootstrap over the test images; None where the runs do not say what they say of each."""


def score_of(run: PlannedRun) -> RunScore:
    """Return the score of a run that has finished.

    Raises:
        TrainError: its summary has none.
    """
    summary, metrics = read_summary(run), run.task.of_kind.metrics
    for metric in (run.task.metric,) if run.task.metric else metrics:
        if isinstance(value := summary.get(metric), (int, float)) and not isinstance(value, bool):
            if not -_ROUNDING <= value <= 1 + _ROUNDING:  # nor is NaN
                told = f"{run.summary} has {metric} = {value}, which is no share of 0 to 1"
                raise TrainError(f"{told}; delete {run.folder} to run it anew")
            return RunScore(run, metric, float(value))
    wanted = run.task.metric or " nor ".join(metrics)
    raise TrainError(f"{run.summary} has no {wanted}; give metric = …, or data with val images")


def cells(tasks: Sequence[Task], groups: Sequence[Group], scores: Sequence[RunScore], wrong: list[str]) -> list[Cell]:
    """Return a cell for each label and task of which a run has finished, label by label.

    Args:
        tasks: of the table.
        groups: its labels.
        scores: of the runs that have finished.
        wrong: gets what is to be said of each cell that is left out: its runs have different metrics or test images,
            or one says nothing readable of its images.
    """
    found = []
    for group in groups:
        for task in tasks:
            own = [each for each in scores if (each.run.task.name, each.run.label) == (task.name, group.label)]
            if own:
                try:
                    found.append(_cell(own))
                except TrainError as error:
                    wrong.append(one_line(error, None))
    return found


def _cell(own: Sequence[RunScore]) -> Cell:
    run, metrics = own[0].run, {each.metric for each in own}
    where = f"{run.task.name}, {run.label}"
    if len(metrics) > 1:
        raise TrainError(f"{where}: runs have different metrics, {' and '.join(sorted(metrics))}; give metric = …")
    by_checkpoint: dict[int, list[float]] = {}
    for each in own:
        by_checkpoint.setdefault(each.run.number, []).append(each.score)
    try:
        found = _interval(own)
    except ValueError as error:
        raise TrainError(f"{where}: {error}; run that task anew, in another --output") from error
    return Cell(
        label=run.label,
        task=run.task.name,
        metric=own[0].metric,
        runs=len(own),
        checkpoints=len(by_checkpoint),
        mean=statistics.fmean(each.score for each in own),
        std=_deviation([each.score for each in own]),
        std_checkpoints=_deviation([statistics.fmean(seeds) for seeds in by_checkpoint.values()]),
        std_seeds=_pooled(by_checkpoint.values()),
        interval=found,
    )


def _interval(own: Sequence[RunScore]) -> Interval | None:
    outcomes: list[Outcomes] = []
    for each in own:
        said = each.run.task.of_kind.outcomes(each.run.folder, each.metric)
        if said is None:
            return None
        outcomes.append(said)
    return interval(outcomes)


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _pooled(groups: Iterable[Sequence[float]]) -> float | None:
    """Return the standard deviation within groups: the root of their variances' mean, weighted by n - 1."""
    several = [group for group in groups if len(group) > 1]
    if not several:
        return None
    free = sum(len(group) - 1 for group in several)
    return math.sqrt(sum(statistics.variance(group) * (len(group) - 1) for group in several) / free)
