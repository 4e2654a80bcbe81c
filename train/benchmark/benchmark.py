"""A benchmark: downstream tasks over checkpoints, each run in a process and a folder of its own, and their table.

What has finished is kept: a benchmark that was killed goes on where it was when it is started again, and one that is
asked for more tasks, seeds or checkpoints runs what is new.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from in21k.shards_manifest.command.numbers import seconds_text
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.markers import BENCHMARK
from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.train.benchmark.checkpoints import Group, read_groups
from in21k.train.benchmark.folder import (
    FORMAT,
    RUN_SCORES,
    SCORES,
    TABLE,
    begin,
    is_finished,
    require_folder,
    write_json,
    write_record,
)
from in21k.train.benchmark.plan import PlannedRun, planned_runs
from in21k.train.benchmark.scores import Cell, RunScore, cells, score_of
from in21k.train.benchmark.table import CELL_COLUMNS, RUN_COLUMNS, as_csv, cell_rows, markdown, run_rows
from in21k.train.benchmark.tasks_file import Task, read_tasks
from in21k.train.benchmark.work import Done, Work, machine_shares, run_all
from in21k.train.config.settings import ModelConfig
from in21k.train.errors import TrainError
from in21k.train.model.architectures import TIMM_PREFIX
from in21k.train.model.hub import Wanted, fetch
from in21k.train.run.lock import run_lock
from in21k.train.run.resolve import resolved_name


@dataclass(frozen=True)
class BenchmarkRequest:
    """What a user asks for."""

    checkpoints: Sequence[str]
    """Each PATH, LABEL=PATH or LABEL=PATH,PATH,…."""
    tasks: Path
    """The list of tasks."""
    jobs: int = 1
    """Runs at once."""
    device: str = ""
    """Of all runs but those of tasks that set one; empty lets each choose."""
    by_task: bool = False
    """Whether the table has a row per task."""


def benchmark(request: BenchmarkRequest, output: Path) -> dict[str, Any]:
    """Run what has not finished yet, write the table, and return the summary.

    The folder gets benchmark.json, table.md, table.csv, runs.csv, and in runs/ a folder, a record and a log per run.

    Raises:
        DatasetError: the list of tasks, a checkpoint or the folder is not usable, or a run was asked for otherwise.
        TrainError: a run failed, or runs do not share a cell; the table has the others.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise TrainError("a benchmark starts its own processes; start it without torchrun, with --jobs")
    tasks, groups = read_tasks(request.tasks), read_groups(request.checkpoints)
    require_folder(output)
    runs = list(planned_runs(tasks, groups, output))
    began = time.perf_counter()
    with run_lock(output) as lock:
        lock.take_if_there()
        left = [run for run in runs if not is_finished(run)]
        lock.take()
        begin(output)
        _fetch(left)
        failed = _run(left, len(runs), request)
        scores = list(_scores(runs, failed))
        wrong: list[str] = []
        found = cells(tasks, groups, scores, wrong)
        summary = _written(tasks, groups, scores, found, request.by_task, output)
    if failed:
        raise TrainError(f"{len(failed)} of {len(runs)} runs have no score; the first of them: {failed[0]}")
    if wrong:
        raise TrainError(wrong[0])
    return {**summary, "runs_kept": len(runs) - len(left), "seconds": round(time.perf_counter() - began, 2)}


def _scores(runs: Sequence[PlannedRun], failed: list[str]) -> Iterator[RunScore]:
    """Yield the scores of the runs that have finished; add to what is to be said of those that failed."""
    for run in runs:
        if run.summary.exists():
            try:
                yield score_of(run)
            except TrainError as error:
                failed.append(one_line(error, None))


def _fetch(left: Sequence[PlannedRun]) -> None:
    """Have timm's weights in the cache before runs look for them at once.

    Raises:
        TrainError: they cannot be fetched.
    """
    texts = dict.fromkeys(run.checkpoint.text for run in left)
    for name in (text.removeprefix(TIMM_PREFIX) for text in texts if text.startswith(TIMM_PREFIX)):
        fetch(Wanted(resolved_name(ModelConfig(name=name, pretrained=True))))


def _run(left: Sequence[PlannedRun], total: int, request: BenchmarkRequest) -> list[str]:
    """Run what is left, and return what is to be said of each run that did not finish."""
    failed: list[str] = []
    done = total - len(left)
    planned = {run.name: run for run in left}
    if done:
        _tell(f"{done} of {total} runs have finished before")

    def ended(work: Work, how: Done) -> None:
        nonlocal done
        run = planned[work.name]
        if run.summary.exists():
            done += 1
            metrics = run.task.of_kind.metrics
            shown = "".join(f"{metrics[each.metric]} {100 * each.score:.1f}" for each in _scores([run], []))
            _tell(f"{done} of {total}: {run.name}: {shown or 'no score'}, in {seconds_text(how.seconds)}")
            return
        failed.append(f"{run.name} (status {how.status}): {how.told}; see {work.log}")
        _tell(failed[-1])

    for run in left:
        write_record(run)
    work = [Work(run.name, run.command(request.device), run.log) for run in left]
    run_all(work, machine_shares(request.jobs), ended)
    return failed


def _written(
    tasks: Sequence[Task],
    groups: Sequence[Group],
    scores: Sequence[RunScore],
    found: Sequence[Cell],
    by_task: bool,
    output: Path,
) -> dict[str, Any]:
    """Write the table and the record, and return the summary."""
    table = markdown(tasks, groups, found, by_task=by_task)
    summary = {"table": cell_rows(tasks, found), "runs": run_rows(scores)}
    write_atomic(output / TABLE, table.encode())
    write_atomic(output / SCORES, as_csv(summary["table"], CELL_COLUMNS))
    write_atomic(output / RUN_SCORES, as_csv(summary["runs"], RUN_COLUMNS))
    write_json(output / BENCHMARK, {"format": FORMAT, **summary})
    return {"output": str(output), "markdown": table, **summary}


def _tell(line: str) -> None:
    print(f"benchmark: {line}", file=sys.stderr, flush=True)
