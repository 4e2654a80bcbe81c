"""How predictions are printed, of classifiers and detectors: as text, as a JSON list, or as lines of JSON."""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, TypeVar

import click

from in21k.shards_manifest.command.numbers import counted
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.command.summary import print_summary
from in21k.shards_manifest.errors import escaped, one_line
from in21k.train.cli.shared import PROGRAM
from in21k.tree.glosses import definition

if TYPE_CHECKING:
    from in21k.train.detection.find_boxes import BoxPrediction
    from in21k.train.use.answer_files import Table
    from in21k.train.use.guesses import Guess, Prediction

    _Any = TypeVar("_Any", Prediction, BoxPrediction)


_NOTHING = "nothing"
"""The form in which only errors are printed."""


class Answers:
    """Predictions on their way to standard output or to a file, and counted."""

    def __init__(self, total: int, output: Path | None, form: str | None) -> None:
        """Begin.

        Args:
            total: images to come.
            output: the file to write instead of printing, if there is one.
            form: json, jsonl, or None for text.
        """
        self._total, self._output, self._form = total, output, form
        self._began, self._images, self._faults = time.monotonic(), 0, 0

    def each(self, predictions: "Iterable[_Any]", table: "Table[_Any]") -> "Iterator[_Any]":
        """Yield predictions after printing or writing each; a file shows how far it has come."""
        from in21k.train.use.answer_files import written

        output = self._output
        if output is not None:
            predictions = written(predictions, output, table)
        with Progress("predict", "image", self._total, shown=output is not None) as bar:
            for prediction in _print_each(predictions, self._form if output is None else _NOTHING):
                self._images, self._faults = self._images + 1, self._faults + bool(prediction.error)
                bar.update()
                yield prediction

    def finish(self) -> int:
        """Print what was written where it was a file, and return the exit status."""
        if self._output is not None:
            seconds = round(time.monotonic() - self._began, 1)
            summary = {"images": self._images, "faults": self._faults, "seconds": seconds, "output": str(self._output)}
            print_summary("predict", summary, as_json=self._form == "json")
        return 1 if self._faults else 0


def _print_each(predictions: "Iterable[_Any]", form: str | None) -> "Iterator[_Any]":
    """Yield predictions after printing each: as text, as an item of a JSON list, or as JSON on a line of its own."""
    before = "[\n"
    for prediction in predictions:
        if prediction.error:
            click.echo(f"{PROGRAM.name}: error: {one_line(f'{prediction.image}: {prediction.error}', None)}", err=True)
        if form == "json":
            click.echo(before + indent(json.dumps(prediction.to_dict(), indent=1), " "), nl=False)
            before = ",\n"
        elif form == "jsonl":
            click.echo(json.dumps(prediction.to_dict()))
        elif form is None and not prediction.error:
            click.echo("\n".join(_text_of(prediction)))
        yield prediction
    if form == "json":
        click.echo("\n]")


def _lines(prediction: "Prediction") -> Iterator[str]:
    yield escaped(f"{prediction.image}: {prediction.headline or 'no confident label'}")
    if prediction.path.answer and prediction.path.answer.gloss:
        yield f"  {escaped(definition(prediction.path.answer.gloss))}"
    for level, guess in enumerate(prediction.path.path):
        yield _line(f"level {level}", guess)
    if prediction.path.path and prediction.beside:
        yield "  most probable, whatever the path:"
    for found in prediction.beside:
        for place, guess in enumerate(found.guesses):
            yield _line("" if found.level is None or place else f"level {found.level}", guess)


def _text_of(prediction: "Prediction | BoxPrediction") -> Iterator[str]:
    from in21k.train.use.guesses import Prediction

    return _lines(prediction) if isinstance(prediction, Prediction) else _box_lines(prediction)


def _box_lines(prediction: "BoxPrediction") -> Iterator[str]:
    yield escaped(f"{prediction.image}: {counted(len(prediction.boxes), 'box')}")
    for each in prediction.boxes:
        sides = " ".join(f"{value:.1f}" for value in each.box)
        yield f"  {each.score:6.3f}  {escaped(each.name)}  {sides}"


def _line(head: str, guess: "Guess") -> str:
    return f"  {head:<9}{guess.probability:6.3f}  {escaped(guess.path)}"
