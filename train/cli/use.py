"""The command that uses a trained model: predict."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import PLACE, LocalPath, Probability
from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.storage.local_files import local_path
from in21k.train.cli.boxes import finds_boxes, print_boxes
from in21k.train.cli.checks import check_named, check_there
from in21k.train.cli.known import CHECKPOINTS, MODELS
from in21k.train.cli.predictions import Answers
from in21k.train.cli.shared import quick_imports, setting_option, settings_of
from in21k.train.config.overrides import check_value, with_values
from in21k.train.config.settings import Config
from in21k.train.model.architectures import is_published

if TYPE_CHECKING:
    from in21k.train.use.given_images import GivenImages
    from in21k.train.use.guesses import Prediction
    from in21k.train.use.image_files import ImageFiles

STDIN = Path("-")
_LONGEST_PATH = 4096

_checkpoint_help = (
    "A run's, a checkpoint's or an exported model's folder, a model.safetensors, or a model.onnx; timm:NAME for timm's "
    "weights, or a name of the paper's, such as TResNet-M, for the authors'."
)

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
    help="An image; a folder, which stands for all images below it; a pattern such as 'photos/**/*.jpg'; or - for one "
    "image's bytes on standard input. With --images-from they may be left out.",
)
@option("--checkpoint", required=True, type=CHECKPOINTS, metavar="CKPT", help=_checkpoint_help)
@option(
    "--weights",
    type=LocalPath(),
    metavar="FILE",
    help="The authors' weights, for a name of the paper's whose weights timm does not have.",
)
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
@option(
    "--output",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Write the predictions to a .csv, a .parquet or a .jsonl instead of printing them.",
)
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
    checkpoint: str,
    weights: Path | None,
    data: str,
    hierarchy: str,
    top: int | None,
    confidence: float,
    batch_size: int,
    output: Path | None,
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
      in21k-train predict photos/ 'more/**/*.png' --checkpoint runs/r50 --output photos.csv
      in21k-train predict - --checkpoint TResNet-M < dog.jpg
      find /archive -name '*.jpg' | in21k-train predict --images-from - --checkpoint runs/r50 --jsonl --batch-size 256
      in21k-train predict dog.jpg --checkpoint exported/model.onnx
      in21k-train predict street.jpg --checkpoint runs/r50-boxes --confidence 0.7 --draw boxes/
      in21k-train predict dog.jpg --checkpoint model.safetensors --hierarchy imagenet21k/hierarchy.parquet --json
    """
    _check_asked(images, images_from, output, picture, form)
    check_value("data.eval_batch_size", batch_size, "--batch-size")
    run = with_values(Config(), settings_of(options)).run
    path = _checkpoint(checkpoint, weights, bool(data or hierarchy or task == "detection" or draw))
    check_named(data, hierarchy, checkpoint=checkpoint)
    if path and finds_boxes(path, task, draw, for_classes=bool(top or picture)):
        return print_boxes(_found(images, images_from), path, (data, hierarchy), run, confidence, (draw, output, form))
    with quick_imports():
        from in21k.train.use.predict import predict as core
        from in21k.train.use.published_model import open_published
        from in21k.train.use.trained_model import open_trained

    given = _files(images, images_from, path, picture)
    model = open_trained(path, data, hierarchy, takes_clips=True) if path else open_published(checkpoint, weights)
    found = core(model, given, run, top=top or 0, confidence=confidence, batch_size=batch_size)
    return _print_classes(found, picture, Answers(len(given), output, form))


def _check_asked(
    images: tuple[Path, ...], images_from: Path | None, output: Path | None, picture: Path | None, form: str | None
) -> None:
    """Refuse images that are not named, options that exclude each other, and an output that cannot be written."""
    if not images and images_from is None:
        raise click.UsageError("name images or folders, or a list of images with --images-from")
    if STDIN in images and (len(images) > 1 or images_from is not None or picture is not None):
        raise click.UsageError("- is one image on standard input: give it alone, without --images-from and --picture")
    if output is None:
        return
    if form == "jsonl":
        raise click.UsageError("--output writes lines of JSON to a .jsonl; leave --jsonl out")
    from in21k.train.use.answer_files import check_output_name

    check_output_name(output)


def _checkpoint(checkpoint: str, weights: Path | None, is_ours: bool) -> Path | None:
    """Return the path of a checkpoint, None for a published model's name.

    Args:
        checkpoint: as it was given.
        weights: the authors' file, if one is given.
        is_ours: whether an option is given that only models of ours take.
    """
    if not is_published(checkpoint):
        if weights is not None:
            raise click.UsageError("--weights goes with a name of the paper's as --checkpoint; leave it out")
        path = local_path(checkpoint)
        check_there(path)
        return path
    if is_ours:
        raise click.UsageError(
            f"{checkpoint} names its classes itself, and finds no boxes: leave out --data, --hierarchy, --draw and "
            "--task detection"
        )
    return None


def _files(
    images: tuple[Path, ...], images_from: Path | None, checkpoint: Path | None, picture: Path | None
) -> "ImageFiles | GivenImages":
    """Return the images, or of a model of videos the videos, that can be drawn if they are to be."""
    from in21k.train.use.given_images import GivenImages
    from in21k.train.use.predict_picture import check_picture
    from in21k.train.use.trained_model import is_of_videos

    if STDIN in images:
        return GivenImages([_image_of_stdin()], [str(STDIN)])
    files = _found(images, images_from, is_video=checkpoint is not None and is_of_videos(checkpoint))
    if picture is not None:
        check_picture(picture, files)
    return files


def _image_of_stdin() -> bytes:
    """Return what standard input holds; refuse a list of paths, which is asked for otherwise."""
    content = sys.stdin.buffer.read()
    first = content.partition(b"\n")[0]
    if first and b"\0" not in first and len(first) < _LONGEST_PATH and Path(os.fsdecode(first)).is_file():
        raise click.UsageError("standard input is a list of paths; give --images-from - in the place of -")
    return content


def _found(images: tuple[Path, ...], images_from: Path | None, *, is_video: bool = False) -> "ImageFiles":
    with quick_imports():
        from in21k.train.device.header import tell_left_out
        from in21k.train.use.image_files import found_images

    found = found_images(images, listed_images(images_from), is_video=is_video)
    tell_left_out(found.left_out)
    return found


def _print_classes(predictions: "Iterable[Prediction]", picture: Path | None, answers: Answers) -> int:
    """Print or write what images show, and draw it where asked to; return the exit status."""
    from in21k.train.use.answer_files import CLASSES
    from in21k.train.use.predict_picture import draw_picture

    drawn = []
    for prediction in answers.each(predictions, CLASSES):
        drawn += [prediction] if picture is not None else []
    if picture is not None:
        draw_picture(drawn, picture)
    return answers.finish()


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
