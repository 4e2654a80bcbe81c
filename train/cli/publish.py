"""The command that publishes a trained model: export."""

from pathlib import Path

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import LocalPath, json_option
from in21k.train.cli.checks import check_named
from in21k.train.cli.shared import print_result, quick_imports
from in21k.train.cli.use import data_option, hierarchy_option


@command()
@click.argument(
    "checkpoint",
    metavar="CHECKPOINT",
    type=LocalPath(),
    help="A run's folder, a checkpoint's folder, or a model.safetensors.",
)
@click.argument("out", metavar="OUT", type=LocalPath(), help="The folder to write.")
@data_option
@hierarchy_option
@option("--onnx", is_flag=True, help="Write model.onnx, too, once its logits agree with PyTorch's.")
@option(
    "--license",
    "license_id",
    default="",
    metavar="ID",
    show_default="ImageNet's terms for ImageNet's classes, else unknown",
    help="The hub's identifier of the weights' license.",
)
@option("--license-link", default="", metavar="URL", help="Where the license's terms are.")
@option("--push", default="", metavar="OWNER/NAME", help="Upload the folder to the Hugging Face hub, too.")
@option("--public", is_flag=True, help="With --push: let everyone see the model, not you alone.")
@option("--overwrite", is_flag=True, help="With --push: replace files of a model that is already there.")
@json_option
def export(
    checkpoint: Path,
    out: Path,
    data: str,
    hierarchy: str,
    onnx: bool,
    license_id: str,
    license_link: str,
    push: str,
    public: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Export a model as a folder that timm and ONNX runtimes load.

    It holds the weights, config.json, a model card, the classes and their hierarchy.

    \b
    Examples:
      in21k-train export runs/r50 exported/
      in21k-train export runs/r50 exported/ --onnx
      in21k-train export runs/r50/checkpoints/step-00001234 exported/ --json
      in21k-train export runs/r50 exported/ --license other --license-link https://example.org/terms
      in21k-train export runs/r50 exported/ --onnx --push me/resnet50-in21k
    """
    if not push and (public or overwrite):
        raise click.UsageError("--public and --overwrite are for --push; add it, or leave them out")
    check_named(data, hierarchy, checkpoint=str(checkpoint))
    with quick_imports():
        from in21k.train.publish.card_metadata import chosen_license
        from in21k.train.publish.export import ExportOptions
        from in21k.train.publish.export import export as core
        from in21k.train.publish.upload import Upload
        from in21k.train.use.trained_model import open_trained

    upload = Upload(push, public, overwrite) if push else None
    options = ExportOptions(onnx=onnx, license=chosen_license(license_id, license_link), upload=upload)
    print_result(
        core(open_trained(checkpoint, data, hierarchy), out, options),
        as_json,
        [("in21k-train", "predict", "photo.jpg", "--checkpoint", out)],
    )
