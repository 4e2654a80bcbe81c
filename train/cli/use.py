"""The commands that use a trained model: predict, export."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from in21k.train.cli.shared import PROGRAM, print_summary

if TYPE_CHECKING:
    from in21k.train.use.predict import Prediction

_checkpoint_help = "A run's folder, a checkpoint's, an exported model's, or a model.safetensors."


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE…")
@click.option("--checkpoint", required=True, type=click.Path(path_type=Path), metavar="CKPT", help=_checkpoint_help)
@click.option("--data", default="", metavar="DATA", help="The dataset that names the classes, if CKPT does not.")
@click.option("--hierarchy", default="", metavar="FILE", help="The hierarchy.parquet that does.")
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Classes a level; by default 1, and 5 of a model whose classes have no levels.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="auto takes a GPU if any.")
@click.option("--picture", type=click.Path(path_type=Path), metavar="OUT.png", help="Draw images and labels.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def predict(
    images: tuple[Path, ...],
    checkpoint: Path,
    data: str,
    hierarchy: str,
    top: int | None,
    device: str,
    picture: Path | None,
    as_json: bool,
) -> int:
    """Name what is on images: a level of the hierarchy at a time, with probabilities among the level's classes.

    A file that cannot be read has one line on stderr; the exit status is then 1.

    \b
    Examples:
      in21k-train predict dog.jpg --checkpoint runs/r50
      in21k-train predict dog.jpg cat.png --checkpoint runs/r50 --top 3 --picture labels.png
      in21k-train predict dog.jpg --checkpoint model.safetensors --hierarchy out/hierarchy.parquet --json
    """
    from in21k.train.use.predict import predict as core
    from in21k.train.use.predict_picture import check_picture, draw_picture
    from in21k.train.use.trained_model import open_trained

    if picture is not None:
        check_picture(picture, len(images))
    model = open_trained(checkpoint, data, hierarchy)
    found = []
    for prediction in core(model, images, top=top or 0, device=device):
        found.append(prediction)
        if prediction.error:
            click.echo(f"{PROGRAM}: error: {prediction.image}: {prediction.error}", err=True)
        elif not as_json:
            click.echo("\n".join(_lines(prediction)))
    if as_json:
        click.echo(json.dumps([prediction.to_dict() for prediction in found], indent=1, ensure_ascii=False))
    if picture is not None:
        draw_picture(found, picture)
    return 1 if any(prediction.error for prediction in found) else 0


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--data", default="", metavar="DATA", help="The dataset that names the classes, if CHECKPOINT does not.")
@click.option("--hierarchy", default="", metavar="FILE", help="The hierarchy.parquet that does.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def export(checkpoint: Path, out: Path, data: str, hierarchy: str, as_json: bool) -> None:
    """Write a model as a folder that timm loads: weights, config.json, model card, hierarchy.

    CHECKPOINT is a run's folder, a checkpoint's, or a model.safetensors.

    \b
    Examples:
      in21k-train export runs/r50 exported/
      in21k-train export runs/r50/checkpoints/step-00001234 exported/ --json
    """
    from in21k.train.use.export import export as core
    from in21k.train.use.trained_model import open_trained

    print_summary(core(open_trained(checkpoint, data, hierarchy), out), as_json)


def _lines(prediction: "Prediction") -> Iterator[str]:
    yield f"{prediction.image}: {', '.join(prediction.labels) or 'no label is sure'}"
    for level in prediction.levels:
        for place, guess in enumerate(level.guesses):
            head = "" if level.level is None or place else f"level {level.level}"
            yield f"  {head:<9}{guess.probability:6.3f}  {guess.path}"
