"""The folder of `evaluate --output`: the scores, the curve as a table and a plot, and the errors by subtree."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from in21k.shards_manifest.errors import errors_naming, escaped
from in21k.shards_manifest.markers import require_place_for
from in21k.shards_manifest.storage.local_files import open_regular, write_atomic
from in21k.shards_manifest.storage.location import locate
from in21k.train.answers.paths import CONFIDENCE
from in21k.train.errors import TrainError
from in21k.train.evaluation.report.answers import Answers
from in21k.train.evaluation.report.curve import AnswerPoint, answer_curve
from in21k.train.evaluation.report.curve_plot import draw_curve
from in21k.train.evaluation.report.subtree_errors import SubtreeErrors, subtree_errors

SCORES = "evaluation.json"
CURVE = "curve.csv"
CURVE_PLOT = "curve.png"
SUBTREES = "subtree_errors.csv"
EXPLORER = "explorer.html"
"""Of data that in21k-prep did not prepare; for those that it did, `in21k-prep report --run` writes a fuller one."""
FILES = (SCORES, CURVE, CURVE_PLOT, SUBTREES)

_START = '{\n "format": "in21k evaluation 1"'
"""How the scores begin; they are written first, and say that the folder's other files may be replaced."""


def require_report_place(folder: Path) -> None:
    """Refuse a folder whose files are not those of an earlier evaluation, before anything is computed.

    Raises:
        DatasetError: it holds what another command wrote, or cannot be read.
        TrainError: it has a file of the name of one of ours, and no scores of ours.
    """
    require_place_for(locate(folder), option="--output")
    with errors_naming(str(folder)):
        present = [name for name in (*FILES, EXPLORER) if (folder / name).exists()]
        if present and not _is_ours(folder):
            raise TrainError(f"{folder} already holds a {present[0]} that no evaluation wrote; give another --output")


def write_report(folder: Path, scores: Mapping[str, Any], answers: Answers | None, names: Sequence[str]) -> None:
    """Write the files, each whole or not at all.

    Args:
        folder: which `require_report_place` has let pass; it is made if it is missing.
        scores: the summary of the evaluation.
        answers: of all images; None where the classes have no hierarchy to answer by, which leaves the scores.
        names: of the C classes.

    Raises:
        DatasetError: a file cannot be written.
    """
    contents = _of_answers(answers, names) if answers is not None else {}
    scores = {"format": "in21k evaluation 1", "confidence": CONFIDENCE, **scores}
    with errors_naming(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / SCORES, json.dumps(scores, indent=1).encode() + b"\n")
        for name, content in contents.items():
            write_atomic(folder / name, content)


def _of_answers(answers: Answers, names: Sequence[str]) -> dict[str, bytes]:
    """Return the files about answers by name."""
    curve = answer_curve(answers)
    return {
        CURVE: _table(_CURVE + _stops(answers), map(_curve_row, curve)),
        CURVE_PLOT: draw_curve(curve),
        SUBTREES: _table(
            _SUBTREES, (_subtree_row(each, answers, names) for each in subtree_errors(answers, CONFIDENCE))
        ),
    }


_CURVE = ["confidence", "accuracy", "specificity", "depth", "precision", "recall", "f1"]
_SUBTREES = [
    "class",
    "name",
    "level",
    "images",
    "within",
    "above",
    "outside",
    "goes_to",
    "goes_to_name",
    "goes_to_share",
    "precision",
    "recall",
    "f1",
]


def _stops(answers: Answers) -> list[str]:
    return ["stopped_none", *(f"stopped_level_{level}" for level in range(answers.hierarchy.num_levels))]


def _curve_row(point: AnswerPoint) -> list[Any]:
    values = (point.accuracy, point.specificity, point.depth, point.precision, point.recall, point.f1, *point.stopped)
    return [point.confidence, *map(_digits, values)]


def _subtree_row(errors: SubtreeErrors, answers: Answers, names: Sequence[str]) -> list[Any]:
    goes_to = ["", ""] if errors.goes_to is None else _named(errors.goes_to, answers, names)
    shares = (errors.within, errors.above, errors.outside)
    scores = (errors.goes_to_share, errors.precision, errors.recall, errors.f1)
    own = [*_named(errors.class_index, answers, names), errors.level, errors.images]
    return [*own, *map(_digits, shares), *goes_to, *map(_digits, scores)]


def _named(index: int, answers: Answers, names: Sequence[str]) -> list[str]:
    return [escaped(answers.hierarchy.wnids[index]), escaped(names[index])]


def _digits(value: float | None) -> Any:
    return "" if value is None else float(f"{value:.9g}")


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()


def _is_ours(folder: Path) -> bool:
    """Return whether the folder has scores of ours."""
    path = folder / SCORES
    if not path.exists():
        return False
    with os.fdopen(open_regular(str(path), str(path)), "rb") as file:
        return file.read(len(_START)) == _START.encode()
