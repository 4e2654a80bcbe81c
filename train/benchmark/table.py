"""The table of a benchmark, as the paper's Table 2: as Markdown, and as CSV with every figure and every run."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from in21k.train.benchmark.bootstrap import LEVEL
from in21k.train.benchmark.checkpoints import Group
from in21k.train.benchmark.scores import Cell, RunScore
from in21k.train.benchmark.tasks_file import Task

CELL_COLUMNS = (
    "label",
    "task",
    "kind",
    "metric",
    "runs",
    "checkpoints",
    "mean",
    "std",
    "std_checkpoints",
    "std_seeds",
    "low",
    "high",
    "images",
)
RUN_COLUMNS = ("label", "number", "checkpoint", "task", "kind", "seed", "metric", "score", "folder")
_ESCAPED = re.compile(r"[\\`*\[\]|]|(?<!\w)_|_(?!\w)")
_NOT_ESCAPED_BY_ALL = re.compile(r"[<>&~$]")


def markdown(tasks: Sequence[Task], groups: Sequence[Group], found: Sequence[Cell], *, by_task: bool = False) -> str:
    """Return the table, in percent: a row per label and a column per task, or the other way round.

    A cell without a run that has finished has a dash; one whose runs are not all there is marked.
    """
    labels = [group.label for group in groups]
    names = {task.name: f"{_escaped(task.title)}, {_metric(task, found)}" for task in tasks}
    expected = {
        (group.label, task.name): len(group.checkpoints) * len(task.seeds) for group in groups for task in tasks
    }
    texts = {(cell.label, cell.task): _text(cell, expected[cell.label, cell.task]) for cell in found}
    if by_task:
        rows = [["task", *labels], *([names[at], *(texts.get((to, at), "–") for to in labels)] for at in names)]
    else:
        rows = [["checkpoint", *names.values()]]
        rows += [[to, *(texts.get((to, at), "–") for at in names)] for to in labels]
    rows.insert(1, ["---"] * len(rows[0]))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{_legend(found)}\n"


def _legend(found: Sequence[Cell]) -> str:
    told = "In percent: the mean over runs"
    if any(cell.std is not None for cell in found):
        told += " ± their standard deviation"
    if any(cell.interval is not None for cell in found):
        told += f", and the {LEVEL:.0%} confidence interval of the mean by bootstrap over the test images"
    return f"{told}."


def _metric(task: Task, found: Sequence[Cell]) -> str:
    metrics = {cell.metric for cell in found if cell.task == task.name}
    known = task.of_kind.metrics
    return "/".join(known[each] for each in sorted(metrics)) or known[task.metric or next(iter(known))]


def _text(cell: Cell, expected: int) -> str:
    text = f"{100 * cell.mean:.1f}"
    if cell.std is not None:
        text += f" ± {100 * cell.std:.1f}"
    if cell.interval is not None:
        text += f" [{100 * cell.interval.low:.1f}, {100 * cell.interval.high:.1f}]"
    return text if cell.runs == expected else f"{text} ({cell.runs} of {expected} runs)"


def _escaped(title: str) -> str:
    """Return a title that Markdown shows as it is: a backslash goes before a character, or its number stands for it."""
    return _NOT_ESCAPED_BY_ALL.sub(lambda found: f"&#{ord(found[0])};", _ESCAPED.sub(r"\\\g<0>", title))


def cell_rows(tasks: Sequence[Task], found: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return a row per cell: shares of 0 to 1 with nine digits, None where there is no figure."""
    kinds = {task.name: task.kind for task in tasks}
    rows = []
    for cell in found:
        own = cell.interval
        drawn = {"low": own and own.low, "high": own and own.high, "images": own and own.images}
        values = {**vars(cell), **drawn, "kind": kinds[cell.task]}
        rows.append({name: _digits(values[name]) for name in CELL_COLUMNS})
    return rows


def run_rows(scores: Sequence[RunScore]) -> list[dict[str, Any]]:
    """Return a row per run that has finished."""
    rows = []
    for each in scores:
        run = each.run
        values = (run.label, run.number, run.checkpoint.text, run.task.name, run.task.kind)
        seed = run.seed if run.task.of_kind.is_seeded else None
        folder = "/".join(run.folder.parts[-4:])
        rows.append(dict(zip(RUN_COLUMNS, (*values, seed, each.metric, _digits(each.score), folder), strict=True)))
    return rows


def as_csv(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> bytes:
    """Return rows, by column, as CSV with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _digits(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, float) else value
