"""The options that choose classes and images of a dump."""

from collections.abc import Mapping
from typing import Any

import click

from in21k.prep.cli.shared import chosen_source, note
from in21k.prep.cli.taxonomy import chosen_taxonomy
from in21k.prep.stages.filter import FilterParameters
from in21k.prep.stages.record import StageRecord
from in21k.prep.stages.select import ImageSelection, select
from in21k.shards_manifest.command.options import LocalPath

selection_options = (
    click.option(
        "--classes",
        default="",
        metavar="LIST",
        help="Keep these classes alone: fall11-p, winter21-p, in12k, in1k, or a file with one class per line.",
    ),
    click.option(
        "--exclude", multiple=True, metavar="CLASS|FILE", help="Drop a class, or those that a file lists. Repeatable."
    ),
    click.option(
        "--exclude-subtree",
        multiple=True,
        metavar="CLASS",
        help="Drop a class and all below it, such as n00007846 (person). Repeatable.",
    ),
    click.option(
        "--only-subtree", multiple=True, metavar="CLASS", help="Drop all but a class and those below it. Repeatable."
    ),
    click.option(
        "--max-images-per-class",
        default=0,
        metavar="N",
        help="Train on at most N images of each class; those of a smaller N are among them.",
    ),
    click.option(
        "--fraction",
        default=1.0,
        metavar="F",
        help="Train on this share of each class's images; those of 0.1 are among those of 0.2.",
    ),
    click.option("--min-side", default=0, metavar="PX", help="Reject images with a side shorter than this."),
    click.option(
        "--split-file",
        nargs=2,
        type=LocalPath(),
        metavar="TRAIN VAL",
        help="Take the split from two lists, a path and maybe a label per line; images in neither are rejected.",
    ),
)

export_option = click.option(
    "--export-lists",
    type=LocalPath(file_okay=False),
    metavar="FOLDER",
    help="Write the split as train.txt and val.txt to this folder, for --split-file.",
)


def note_unmatched(record: StageRecord) -> None:
    """Print how many lines of the lists name nothing in the dump, and the first of them."""
    if named := record.notes.get("unmatched"):
        note(f"{record.counts['lines_without_image']:,} lines of --split-file name nothing in the dump: {named}")


def chosen_filter(chosen: Mapping[str, Any]) -> FilterParameters:
    """Return the parameters of `filter` that options ask for.

    Raises:
        DatasetError, TreeError: one has a value that it cannot have.
    """
    taxonomy = chosen_taxonomy(chosen)
    images = ImageSelection(
        max_images_per_class=chosen["max_images_per_class"], fraction=chosen["fraction"], min_side=chosen["min_side"]
    )
    selection = select(
        **{name: chosen[name] for name in ("classes", "exclude", "exclude_subtree", "only_subtree")},
        images=images,
        lists=chosen["split_file"],
        taxonomy=taxonomy,
    )
    return FilterParameters(chosen["min_images"], selection, taxonomy, chosen_source(chosen))
