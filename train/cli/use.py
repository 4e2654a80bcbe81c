"""The commands that use a trained model: predict, export."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from in21k.shards_manifest.errors import escaped, one_line
from in21k.train.cli.shared import PROGRAM, LocalPath, check_there, print_summary, setting_option

if TYPE_CHECKING:
    from in21k.train.use.predict import Prediction

_checkpoint_help = "A run's folder, a checkpoint's folder, an exported model's folder, or a model.safetensors."

data_option = click.option(
    "--data", default="", metavar="DATA", help="The dataset that names the classes, if the checkpoint does not."
)
hierarchy_option = click.option(
    "--hierarchy", default="", metavar="FILE", help="The hierarchy.parquet that names them instead."
)


@click.command()
@click.argument("images", nargs=-1, required=True, type=LocalPath(), metavar="IMAGE…")
@click.option("--checkpoint", required=True, type=LocalPath(), metavar="CKPT", help=_checkpoint_help)
@data_option
@hierarchy_option
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Classes to show per level; by default 1, or 5 if the model's classes have no levels.",
)
@setting_option("device", default="auto", show_default=True)
@click.option("--picture", type=LocalPath(), metavar="OUT.png", help="Draw the images with their labels.")
@click.option("--json", "as_json", is_flag=True, help="Print the predictions as a JSON list.")
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
    """Name what images show, level by level of the hierarchy, with probabilities among each level's classes.

    A file that cannot be read gets one line on stderr, and the exit status is then 1.

    \b
    Examples:
      in21k-train predict dog.jpg --checkpoint runs/r50
      in21k-train predict dog.jpg cat.png --checkpoint runs/r50 --top 3 --picture labels.png
      in21k-train predict dog.jpg --checkpoint model.safetensors --hierarchy out/hierarchy.parquet --json
    """
    check_there(checkpoint)
    from in21k.train.use.predict import predict as core
    from in21k.train.use.predict_picture import check_picture, draw_picture
    from in21k.train.use.trained_model import open_trained

    if picture is not None:
        check_picture(picture, images)
    model = open_trained(checkpoint, data, hierarchy)
    found = []
    for prediction in core(model, images, top=top or 0, device=device):
        found.append(prediction)
        if prediction.error:
            click.echo(f"{PROGRAM.name}: error: {one_line(f'{prediction.image}: {prediction.error}', None)}", err=True)
        elif not as_json:
            click.echo("\n".join(_lines(prediction)))
    if as_json:
        click.echo(json.dumps([prediction.to_dict() for prediction in found], indent=1))
    if picture is not None:
        draw_picture(found, picture)
    return 1 if any(prediction.error for prediction in found) else 0


@click.command()
@click.argument("checkpoint", type=LocalPath())
@click.argument("out", type=LocalPath())
@data_option
@hierarchy_option
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def export(checkpoint: Path, out: Path, data: str, hierarchy: str, as_json: bool) -> None:
    """Export a model as a folder that timm can load: weights, config.json, model card, hierarchy.

    CHECKPOINT is a run's folder, a checkpoint's folder, or a model.safetensors.

    \b
    Examples:
      in21k-train export runs/r50 exported/
      in21k-train export runs/r50/checkpoints/step-00001234 exported/ --json
    """
    check_there(checkpoint)
    from in21k.train.use.export import export as core
    from in21k.train.use.trained_model import open_trained

    print_summary(core(open_trained(checkpoint, data, hierarchy), out), as_json)


def _lines(prediction: "Prediction") -> Iterator[str]:
    yield escaped(f"{prediction.image}: {', '.join(prediction.labels) or 'no confident label'}")
    for level in prediction.levels:
        for index, guess in enumerate(level.guesses):
            head = "" if level.level is None or index else f"level {level.level}"
            yield f"  {head:<9}{guess.probability:6.3f}  {escaped(guess.path)}"
