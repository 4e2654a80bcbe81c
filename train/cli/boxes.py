"""What evaluate and predict do with a checkpoint that is a detector's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from in21k.train.cli.checks import check_there
from in21k.train.cli.predictions import Answers
from in21k.train.cli.shared import print_result, quick_imports
from in21k.train.config.settings import RunConfig

if TYPE_CHECKING:
    from in21k.train.data.open_data import DataRequest
    from in21k.train.use.image_files import ImageFiles


def finds_boxes(checkpoint: Path, task: str, draw: Path | None, *, for_classes: bool) -> bool:
    """Return whether predict finds boxes.

    Args:
        checkpoint: it decides where the task is `auto`.
        task: auto, classification or detection.
        draw: the folder for drawn boxes, if one is asked for.
        for_classes: whether an option is given that is for classifiers alone.

    Raises:
        UsageError: an option is for the other kind.
    """
    with quick_imports():
        from in21k.train.use.trained_model import is_detector

    if task == "classification" or (task == "auto" and not is_detector(checkpoint)):
        if draw is not None:
            raise click.UsageError("--draw is for detectors; --picture OUT.png draws the images with their labels")
        return False
    if for_classes:
        raise click.UsageError(
            "--top and --picture are for classifiers; --draw FOLDER draws boxes, --jsonl and --output FILE tell them"
        )
    return True


def evaluated_as_detector(
    asked: "DataRequest", checkpoint: Path, values: Mapping[str, Any], unfit: str, *, raw: bool, as_json: bool
) -> bool:
    """Print the scores of a checkpoint that is a detector's, and return whether it is one.

    Args:
        asked: data in COCO's layout, which need not be named.
        checkpoint: a run's folder, a checkpoint's or a model file.
        values: settings from the command line, by dotted key.
        unfit: the option given that is for classifiers alone; empty if there is none.
        raw: evaluate the weights themselves instead of their EMA.
        as_json: print JSON.

    Raises:
        TrainError: there is no checkpoint.
        UsageError: there is such an option, or clips.
    """
    check_there(checkpoint)
    with quick_imports():
        from in21k.train.use.trained_model import is_detector

    if not is_detector(checkpoint):
        return False
    if unfit:
        raise click.UsageError(f"{unfit} is for classifiers; leave it out")
    if "video.clips" in values:
        raise click.UsageError("--clips is for models of videos; leave it out")
    with quick_imports():
        from in21k.train.data.open_data import AUTO, SHARDS
        from in21k.train.detection.trained_detector import evaluate_detector

    request = replace(asked, layout=AUTO) if asked.layout == SHARDS else asked  # the command's default
    print_result(evaluate_detector(request, checkpoint, values, raw=raw), as_json)
    return True


def print_boxes(
    files: "ImageFiles",
    checkpoint: Path,
    names: tuple[str, str],
    run: RunConfig,
    confidence: float,
    outputs: tuple[Path | None, Path | None, str | None],
) -> int:
    """Print or write what a detector finds in images, and draw it where asked to; return the exit status.

    Args:
        files: the images.
        checkpoint: the detector's.
        names: the dataset and the table that name the classes, each maybe empty.
        run: device, precision and loader processes.
        confidence: the least score.
        outputs: the folder for drawn boxes, the file to write instead of printing, and the form of what is printed.
    """
    with quick_imports():
        from in21k.train.detection.box_rows import BOXES
        from in21k.train.detection.drawing import draw_prediction, picture_paths
        from in21k.train.detection.find_boxes import find_boxes
        from in21k.train.detection.trained_detector import open_detector

    draw, output, form = outputs
    answers = Answers(len(files), output, form)
    paths = iter(picture_paths(draw, files)) if draw is not None else None
    model = open_detector(checkpoint, *names)
    for prediction in answers.each(find_boxes(model, files, run, least_score=confidence), BOXES):
        if paths is not None:
            draw_prediction(prediction, next(paths))
    return answers.finish()
