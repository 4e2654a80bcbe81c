"""The command that writes a network's vectors for images: embed."""

import json
from pathlib import Path
from typing import Any

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import PLACE, LocalPath
from in21k.shards_manifest.markers import EMBEDDINGS
from in21k.train.cli.checks import check_named
from in21k.train.cli.data_options import data_options, data_request
from in21k.train.cli.known import CHECKPOINTS
from in21k.train.cli.shared import print_result, quick_imports, settings_of, shared
from in21k.train.cli.use import batch_size_option, images_from_option, listed_images, model_option
from in21k.train.config.overrides import check_value, with_values
from in21k.train.config.settings import Config


@command()
@click.argument(
    "sources",
    nargs=-1,
    metavar="SOURCE…",
    type=PLACE,
    help="A prepared dataset, data in any layout that transfer takes, or image files and folders of them; with "
    "--images-from they may be left out.",
)
@option(
    "--checkpoint",
    required=True,
    metavar="CKPT",
    type=CHECKPOINTS,
    help="A run's, a checkpoint's or an exported model's folder, a file of weights, or timm:NAME for timm's weights.",
)
@option("--output", required=True, type=LocalPath(), metavar="FOLDER", help="The folder of the embeddings.")
@model_option
@images_from_option
@option(
    "--split",
    type=click.Choice(("train", "val", "all")),
    default="all",
    help="The split of a dataset to embed.",
)
@option(
    "--layer",
    default="",
    metavar="NAME",
    show_default="what the classifier takes in",
    help="The layer whose outputs are the vectors, averaged over positions.",
)
@option(
    "--dtype",
    type=click.Choice(("float16", "float32")),
    default="float16",
    help="Type of the vectors' values.",
)
@option("--normalize", is_flag=True, help="Divide each vector by its Euclidean length.")
@option(
    "--rows-per-file",
    type=click.IntRange(1, 2**24),
    default=32_768,
    metavar="N",
    help="Images per file; a kill loses what a file has so far, and memory holds two files' vectors.",
)
@batch_size_option
@option("--resume", is_flag=True, help="Continue the embeddings in FOLDER; files that are whole are kept.")
@data_options("auto", "files")
@shared
def embed(
    sources: tuple[str, ...],
    checkpoint: str,
    output: Path,
    images_from: Path | None,
    split: str,
    dtype: str,
    normalize: bool,
    rows_per_file: int,
    batch_size: int,
    resume: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write a network's vector for each image into Parquet files.

    A folder of folders counts as images without labels, unless it has a folder train, or --layout imagefolder or
    --val-share is given.

    On several GPUs: torchrun --nproc-per-node 8 -m in21k.train embed …

    \b
    Examples:
      in21k-train embed imagenet21k/ --checkpoint runs/r50 --output embeddings/
      in21k-train embed cars/ --split val --checkpoint timm:resnet50 --output cars-embeddings/ --normalize
      in21k-train embed photos/ dog.jpg --checkpoint runs/r50 --output photos-embeddings/ --dtype float32
      in21k-train embed photos/ --checkpoint runs/r50 --output photos-layer3/ --layer layer3
    """
    if not sources and images_from is None:
        raise click.UsageError("name a dataset, images or folders, or a list of images with --images-from")
    check_value("data.eval_batch_size", batch_size, "--batch-size")
    asked = data_request(sources[0] if sources else "", options)
    chosen = {name: options.pop(name) for name in ("model", "layer")}
    config = with_values(Config(), settings_of(options))
    alone = sources[: len(sources) == 1]  # of several, rows say it
    check_named(*alone, checkpoint=checkpoint, model=chosen["model"], takes_timm=True)
    with quick_imports():
        from in21k.train.embed.embed import embed as core
        from in21k.train.embed.request import EmbeddingRequest
        from in21k.train.embed.source import SourceRequest

    source = SourceRequest(sources, asked, listed_images(images_from), images_from is not None, split)
    request = EmbeddingRequest(
        source, checkpoint, **chosen, dtype=dtype, normalized=normalize, batch_size=batch_size, rows=rows_per_file
    )
    summary = core(request, output, config, resume=resume)
    print_result(summary, as_json, [] if summary is None else [_next(output)])


def _next(output: Path) -> tuple[object, ...]:
    """Return what to type next: the ranking by classes where there are val images, else by groups of the user's own."""
    splits = {file["split"] for file in json.loads((output / EMBEDDINGS).read_bytes())["files"]}
    ranked = ("in21k-train", "retrieve", output, "--output", output.with_name(f"{output.name}-retrieval"))
    return ranked if "val" in splits else (*ranked, "--relevance", "groups.csv")
