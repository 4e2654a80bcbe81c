"""The program `in21k-train`: each command reads its options, calls one function and prints a summary."""

import click

from in21k.shards_manifest.command.group import ProgramGroup
from in21k.shards_manifest.command.version import version_option
from in21k.train.cli import benchmark as cli_benchmark
from in21k.train.cli import embed as cli_embed
from in21k.train.cli import lists as cli_lists
from in21k.train.cli import pretrain as cli_pretrain
from in21k.train.cli import publish as cli_publish
from in21k.train.cli import recipes as cli_recipes
from in21k.train.cli import retrieve as cli_retrieve
from in21k.train.cli import throughput as cli_throughput
from in21k.train.cli import transfer as cli_transfer
from in21k.train.cli import use as cli_use
from in21k.train.cli.shared import PROGRAM

OPTION_CAPTIONS = {
    "Model": (
        *("checkpoint", "model", "pretrained", "init", "scratch", "weights", "inputs", "raw", "layer", "task"),
        *("teacher", "teacher_weights", "data", "hierarchy"),
    ),
    "Data": (
        *("layout", "split", "val_share", "annotations", "val", "images", "images_from", "relevance", "gallery"),
        *("image_size", "clips", "strict", "max_skipped", "cache", "cache_size"),
    ),
    "Training": (
        *("recipe", "settings", "probe", "knn", "temperature", "keep_features"),
        *("epochs", "lr", "seed", "steps"),
    ),
    "Answers": (
        "predictions",
        "worst",
        "top",
        "confidence",
        "picture",
        "draw",
        "sheet",
        "sheet_order",
        "dtype",
        "normalize",
        "rows_per_file",
    ),
    "Machine": ("device", "workers", "batch_size", "amp", "compile", "faiss", "jobs"),
    "Publication": ("onnx", "license_id", "license_link", "push", "public", "overwrite"),
    "Output": ("output", "resume", "rows", "form", "as_json", "help"),
}
"""The groups in which commands with many options list them."""


@click.group(
    PROGRAM.name,
    cls=ProgramGroup,
    program=PROGRAM,
    option_captions=OPTION_CAPTIONS,
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@version_option(PROGRAM.name)
def main(debug: bool) -> None:
    """Pretrain vision backbones on a dataset that in21k-prep wrote, and use them.

    \b
    From a dataset to an answer:
      in21k-train pretrain imagenet21k/ --model TResNet-M --pretrained --output runs/m
      in21k-train evaluate imagenet21k/ --checkpoint runs/m
      in21k-train transfer photos/ --checkpoint runs/m --output runs/photos
      in21k-train predict dog.jpg --checkpoint runs/m

    On several GPUs: torchrun --nproc-per-node 8 -m in21k.train pretrain …
    """


main.add_commands(
    "To begin with", [cli_lists.models, cli_recipes.recipes, cli_lists.settings_command, cli_throughput.throughput]
)
main.add_commands("To pretrain", [cli_pretrain.pretrain, cli_pretrain.evaluate, cli_pretrain.curves])
main.add_commands("To use a model on other data", [cli_transfer.transfer, cli_benchmark.benchmark])
main.add_commands("To use a model", [cli_use.predict, cli_embed.embed, cli_retrieve.retrieve, cli_publish.export])
