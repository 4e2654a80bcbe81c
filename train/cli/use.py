"""The command that uses a trained model: predict."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from in21k.shards_manifest.command.options import LocalPath, Probability
from in21k.shards_manifest.errors import errors_naming
from in21k.train.cli.boxes import finds_boxes, print_boxes
from in21k.train.cli.predictions import print_each
from in21k.train.cli.shared import check_there, quick_imports, setting_option, settings_of
from in21k.train.config.overrides import check_value, with_values
from in21k.train.config.settings import Config

if TYPE_CHECKING:
    from in21k.train.use.guesses import Prediction
    from in21k.train.use.image_files import ImageFiles

_checkpoint_help = "A run's, a checkpoint's or an exported model's folder, a model.safetensors, or a model.onnx."

data_option = click.option(
    "--data", default="", metavar="DATA", help="The dataset that names the classes, if the checkpoint does not."
)
hierarchy_option = click.option(
    "--hierarchy", default="", metavar="FILE", help="The hierarchy.parquet that names them instead."
)
images_from_option = click.option(
    "--images-from",
    type=LocalPath(),
    metavar="FILE",
    help="A list of more images, one path per line; - reads it from standard input.",
)
model_option = click.option(
    "--model", default="", metavar="NAME", help="Name of the model, if the weights file does not say it."
)
batch_size_option = setting_option(
    "batch_size",
    key="data.eval_batch_size",
    default=64,
    show_default=True,
    metavar="N",
    help="Images that pass through the network at once; through a detector, one at a time.",
)


@click.command()
@click.argument("images", nargs=-1, type=LocalPath(), metavar="IMAGE…")
@click.option("--checkpoint", required=True, type=LocalPath(), metavar="CKPT", help=_checkpoint_help)
@images_from_option
@data_option
@hierarchy_option
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Classes to show per level, beside the path; by default 1, or 5 if one softmax goes over all classes.",
)
@click.option(
    "--confidence",
    type=Probability(),
    default=0.5,
    show_default=True,
    metavar="P",
    help="Least probability of the class at which the answer stops, on the best path through the hierarchy.",
)
@batch_size_option
@setting_option(
    "workers",
    metavar="N",
    help="Loader processes, which decode; by default none for fewer than 256 images, else the CPUs available decide.",
)
@setting_option("device", default="auto", show_default=True)
@setting_option("amp", flags="--amp/--no-amp", help="Compute in mixed precision on a GPU; on by default.")
@click.option("--picture", type=LocalPath(), metavar="OUT.png", help="Draw the images with their labels.")
@click.option(
    "--task",
    type=click.Choice(("auto", "classification", "detection")),
    default="auto",
    show_default=True,
    help="Classes of images or boxes in them; auto does what the checkpoint was trained for.",
)
@click.option("--draw", type=LocalPath(), metavar="FOLDER", help="Of a detector: write each image with its boxes.")
@click.option("--json", "form", flag_value="json", help="Print the predictions as a JSON list.")
@click.option("--jsonl", "form", flag_value="jsonl", help="Print each prediction as JSON on a line of its own.")
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
    """Name what images show, by the best path through the hierarchy, down to where the model is confident.

    A detector finds boxes instead, with a score of at least --confidence. IMAGE is a file, or a folder, which stands
    for all images below it. Predictions appear in the order of the images. A file that cannot be read gets one line on
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
