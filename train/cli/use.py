"""The command that uses a trained model: predict."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click

from in21k.shards_manifest.errors import errors_naming, escaped, one_line
from in21k.train.cli.shared import (
    PROGRAM,
    LocalPath,
    Probability,
    check_there,
    quick_imports,
    setting_option,
    settings_of,
)
from in21k.train.config.overrides import check_value, with_values
from in21k.train.config.settings import Config

if TYPE_CHECKING:
    from in21k.train.use.guesses import Guess, Prediction

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
batch_size_option = setting_option(
    "batch_size",
    key="data.eval_batch_size",
    default=64,
    show_default=True,
    metavar="N",
    help="Images that pass through the network at once.",
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
    form: str | None,
    **options: Any,
) -> int:
    """Name what images show, by the best path through the hierarchy, down to where the model is confident.

    IMAGE is a file, or a folder, which stands for all images below it. Predictions appear batch by batch, in the order
    of the images. A file that cannot be read gets one line on stderr, and the exit status is then 1.

    \b
    Examples:
      in21k-train predict dog.jpg --checkpoint runs/r50
      in21k-train predict dog.jpg cat.png --checkpoint runs/r50 --top 3 --picture labels.png
      in21k-train predict dog.jpg --checkpoint runs/r50 --confidence 0.8
      in21k-train predict photos/ --checkpoint runs/r50 --jsonl
      find /archive -name '*.jpg' | in21k-train predict --images-from - --checkpoint runs/r50 --jsonl --batch-size 256
      in21k-train predict dog.jpg --checkpoint exported/model.onnx
      in21k-train predict dog.jpg --checkpoint model.safetensors --hierarchy out/hierarchy.parquet --json
    """
    if not images and images_from is None:
        raise click.UsageError("name images or folders, or a list of images with --images-from")
    check_value("data.eval_batch_size", batch_size, "--batch-size")
    run = with_values(Config(), settings_of(options)).run
    check_there(checkpoint)
    with quick_imports():
        from in21k.train.use.image_files import found_images
        from in21k.train.use.predict import predict as core
        from in21k.train.use.predict_picture import check_picture, draw_picture
        from in21k.train.use.trained_model import open_trained

    files = found_images(images, listed_images(images_from))
    if picture is not None:
        check_picture(picture, files)
    model = open_trained(checkpoint, data, hierarchy)
    printed = _printed(core(model, files, run, top=top or 0, confidence=confidence, batch_size=batch_size), form)
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


def _printed(predictions: "Iterable[Prediction]", form: str | None) -> "Iterator[Prediction]":
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
        elif not prediction.error:
            click.echo("\n".join(_lines(prediction)))
        yield prediction
    if form == "json":
        click.echo("\n]")


def _lines(prediction: "Prediction") -> Iterator[str]:
    yield escaped(f"{prediction.image}: {prediction.headline or 'no confident label'}")
    for level, guess in enumerate(prediction.path.path):
        yield _line(f"level {level}", guess)
    if prediction.path.path and prediction.beside:
        yield "  most probable, whatever the path:"
    for found in prediction.beside:
        for place, guess in enumerate(found.guesses):
            yield _line("" if found.level is None or place else f"level {found.level}", guess)


def _line(head: str, guess: "Guess") -> str:
    return f"  {head:<9}{guess.probability:6.3f}  {escaped(guess.path)}"
