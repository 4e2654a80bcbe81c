"""The command that uses a trained model: predict."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import PLACE, LocalPath, Probability
from in21k.shards_manifest.errors import errors_naming
from in21k.train.cli.boxes import finds_boxes, print_boxes
from in21k.train.cli.known import MODELS
from in21k.train.cli.predictions import print_each
from in21k.train.cli.shared import check_there, quick_imports, setting_option, settings_of
from in21k.train.config.overrides import check_value, with_values
from in21k.train.config.settings import Config

if TYPE_CHECKING:
    from in21k.train.use.guesses import Prediction
    from in21k.train.use.image_files import ImageFiles

_checkpoint_help = "A run's, a checkpoint's or an exported model's folder, a model.safetensors, or a model.onnx."

data_option = option(
    "--data",
    default="",
    metavar="DATA",
    type=PLACE,
    help="The dataset that names the classes, where the checkpoint does not.",
)
hierarchy_option = option(
    "--hierarchy", default="", metavar="FILE", type=PLACE, help="The hierarchy.parquet that names them instead."
)
images_from_option = option(
    "--images-from",
    type=LocalPath(),
    metavar="FILE",
    help="A list of more images, one path per line; - reads it from standard input.",
)
model_option = option(
    "--model",
    default="",
    metavar="NAME",
    type=MODELS,
    show_default="what the weights file says",
    help="Name of the model, for a weights file that does not say it.",
)
batch_size_option = setting_option(
    "batch_size",
    key="data.eval_batch_size",
    default=64,
    metavar="N",
    help="Images that pass through the network at once; through a detector, one at a time.",
)


@command()
@click.argument(
    "images",
    nargs=-1,
    type=LocalPath(),
    metavar="IMAGE…",
    help="An image, or a folder, which stands for all images below it; with --images-from they may be left out.",
)
@option("--checkpoint", required=True, type=LocalPath(), metavar="CKPT", help=_checkpoint_help)
@images_from_option
@data_option
@hierarchy_option
@option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    show_default="1, or 5 if one softmax goes over all classes",
    help="Classes to show per level, beside the path.",
)
@option(
    "--confidence",
    type=Probability(),
    default=0.5,
    metavar="P",
    help="Least probability of the class at which the answer stops, on the best path through the hierarchy.",
)
@batch_size_option
@setting_option(
    "workers",
    metavar="N",
    show_default="none for fewer than 256 images, else as the CPUs available allow",
    help="Loader processes, which decode.",
)
@setting_option("device")
@setting_option("amp", flags="--amp/--no-amp", show_default="on", help="Compute in mixed precision on a GPU.")
@option("--picture", type=LocalPath(), metavar="OUT.png", help="Draw the images with their labels.")
@option(
    "--task",
    type=click.Choice(("auto", "classification", "detection")),
    default="auto",
    help="Classes of images or boxes in them; auto does what the checkpoint was trained for.",
)
@option("--draw", type=LocalPath(), metavar="FOLDER", help="Of a detector: write each image with its boxes.")
@option("--json", "form", flag_value="json", help="Print the predictions as a JSON list.")
@option("--jsonl", "form", flag_value="jsonl", help="Print each prediction as JSON on a line of its own.")
def predict(
    images: tuple[Path, ...],
    images_from: Path | None,
    checkpoint: Path,
    data: str,
    hierarchy: str,
    top: int | None,
    confidence: float,
    batch_size: int,
    picture: Path | None,
    task: str,
    draw: Path | None,
    form: str | None,
    **options: Any,
) -> int:
    """Name what images show, down to where the model is confident.

    An answer is a class on the best path through the hierarchy. A detector finds boxes instead, with a score of at
    least --confidence. Predictions appear in the order of the images. A file that cannot be read gets one line on
    stderr, and the exit status is then 1. For a model of videos, IMAGE is a video.

    \b
    Examples:
      in21k-train predict dog.jpg --checkpoint runs/r50
      in21k-train predict dog.jpg cat.png --checkpoint runs/r50 --top 3 --picture labels.png
      in21k-train predict dog.jpg --checkpoint runs/r50 --confidence 0.8
      in21k-train predict photos/ --checkpoint runs/r50 --jsonl
      find /archive -name '*.jpg' | in21k-train predict --images-from - --checkpoint runs/r50 --jsonl --batch-size 256
      in21k-train predict dog.jpg --checkpoint exported/model.onnx
      in21k-train predict street.jpg --checkpoint runs/r50-boxes --confidence 0.7 --draw boxes/
      in21k-train predict dog.jpg --checkpoint model.safetensors --hierarchy out/hierarchy.parquet --json
    """
    if not images and images_from is None:
        raise click.UsageError("name images or folders, or a list of images with --images-from")
    check_value("data.eval_batch_size", batch_size, "--batch-size")
    run = with_values(Config(), settings_of(options)).run
    check_there(checkpoint)
    if finds_boxes(checkpoint, task, draw, for_classes=bool(top or picture)):
        return print_boxes(_found(images, images_from), checkpoint, (data, hierarchy), run, confidence, draw, form)
    with quick_imports():
        from in21k.train.use.predict import predict as core
        from in21k.train.use.predict_picture import check_picture
        from in21k.train.use.trained_model import is_of_videos, open_trained

    files = _found(images, images_from, is_video=is_of_videos(checkpoint))
    if picture is not None:
        check_picture(picture, files)
    model = open_trained(checkpoint, data, hierarchy, takes_clips=True)
    found = core(model, files, run, top=top or 0, confidence=confidence, batch_size=batch_size)
    return _print_classes(found, picture, form)


def _found(images: tuple[Path, ...], images_from: Path | None, *, is_video: bool = False) -> "ImageFiles":
    with quick_imports():
        from in21k.train.use.image_files import found_images

    return found_images(images, listed_images(images_from), is_video=is_video)


def _print_classes(predictions: "Iterable[Prediction]", picture: Path | None, form: str | None) -> int:
    """Print what images show, and draw it where asked to; return the exit status."""
    from in21k.train.use.predict_picture import draw_picture

    printed = print_each(predictions, form)
    if picture is None:
        return max(1 if prediction.error else 0 for prediction in printed)
    drawn = list(printed)
    draw_picture(drawn, picture)
    return 1 if any(prediction.error for prediction in drawn) else 0


def listed_images(source: Path | None) -> Iterator[Path]:
    """Yield the paths in a list of images, if there is one."""
    from in21k.train.use.image_files import read_list

    if source is None:
        return
    if str(source) == "-":
        yield from read_list(sys.stdin.buffer, "--images-from -")
        return
    with errors_naming(str(source)), source.open("rb") as lines:
        yield from read_list(lines, str(source))
