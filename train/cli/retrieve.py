"""The command that ranks images by their likeness to queries: retrieve."""

from pathlib import Path
from typing import Any

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import PLACE, LocalPath
from in21k.train.cli.checks import check_named
from in21k.train.cli.data_options import data_options, data_request
from in21k.train.cli.known import CHECKPOINTS, RULES
from in21k.train.cli.shared import print_result, quick_imports, settings_of, shared
from in21k.train.cli.use import batch_size_option, model_option
from in21k.train.config.overrides import check_value, with_values
from in21k.train.config.settings import Config


@command()
@click.argument(
    "source",
    metavar="SOURCE",
    type=PLACE,
    help="A folder of images, a dataset in any layout that transfer takes, a CSV, or a folder that embed wrote.",
)
@option("--output", required=True, type=LocalPath(), metavar="FOLDER", help="The folder of the results.")
@option(
    "--checkpoint",
    default="",
    metavar="CKPT",
    type=CHECKPOINTS,
    help="What embeds the images, as for embed; embeddings need none.",
)
@model_option
@option(
    "--relevance",
    default="auto",
    metavar="RULE",
    type=RULES,
    help="What is relevant to a query: holidays (by the images' names), classes, or a CSV of path,group[,role].",
)
@option(
    "--gallery",
    type=click.Choice(("val", "train", "all")),
    show_default="val",
    help="With classes: where to look for the class of each val image; in val, the query itself is left out.",
)
@option(
    "--sheet",
    type=click.IntRange(0, 500),
    default=50,
    metavar="N",
    help="Queries that sheet.html shows; 0 for no sheet.",
)
@option(
    "--sheet-order",
    type=click.Choice(("worst", "even")),
    default="worst",
    help="Which queries: those of the least average precision, or an even choice.",
)
@option("--faiss", is_flag=True, help="Let FAISS propose images, for large galleries; the results are the same.")
@batch_size_option
@option("--resume", is_flag=True, help="Go on in FOLDER: its embeddings are kept, the results made anew.")
@data_options("auto", "files")
@shared
def retrieve(
    source: str,
    output: Path,
    resume: bool,
    batch_size: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Rank images by their likeness to queries, and score the ranking.

    The scores are mAP and recall. The images of a folder are named as INRIA Holidays' are; a CSV has the columns path
    and group.

    \b
    Examples:
      in21k-train retrieve holidays/ --checkpoint runs/r50 --output retrieval/
      in21k-train retrieve cars/ --checkpoint timm:resnet50 --output cars-retrieval/ --gallery train
      in21k-train retrieve photos.csv --checkpoint runs/r50 --output photos-retrieval/ --sheet 100
      in21k-train retrieve embeddings/ --output retrieval/ --relevance photos.csv
    """
    check_value("data.eval_batch_size", batch_size, "--batch-size")
    asked = data_request(source, options)
    names = ("checkpoint", "model", "relevance", "sheet", "sheet_order", "faiss")
    chosen = {name: options.pop(name) for name in names}
    gallery = options.pop("gallery") or ""
    config = with_values(Config(), settings_of(options))
    check_named(source, checkpoint=chosen["checkpoint"], model=chosen["model"], takes_timm=True)
    with quick_imports():
        from in21k.train.retrieval.folder import SHEET
        from in21k.train.retrieval.request import RetrievalRequest
        from in21k.train.retrieval.retrieve import retrieve as core

    request = RetrievalRequest(asked, **chosen, gallery=gallery, batch_size=batch_size)
    page = ("python", "-m", "webbrowser", output / SHEET)
    print_result(core(request, output, config, resume=resume), as_json, [page] if request.sheet else [])
