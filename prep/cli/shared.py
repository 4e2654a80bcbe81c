"""What commands of `in21k-prep` share among themselves: the program, its summary, options that several take."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from in21k.prep.cli.known import CLASS_LISTS
from in21k.prep.errors import USER_ERRORS
from in21k.shards_manifest.command.command_end import Program
from in21k.shards_manifest.command.help import option
from in21k.shards_manifest.errors import one_line
from in21k.tree.parents import ParentRule

if TYPE_CHECKING:
    from in21k.prep.raw.choices import SourceChoices

PROGRAM = Program(
    name="in21k-prep",
    errors=USER_ERRORS,
    extras={"distributed": "dask", "fsspec": "hub", "rapidgzip": "gzip", "cv2": "reference", "matplotlib": "report"},
    after_stop="run the same command again to continue",
)

parents_option = option(
    "--parents",
    type=click.Choice([rule.value for rule in ParentRule]),
    default=ParentRule.PUBLISHED.value,
    help="Which hypernym becomes the parent of a synset that has several.",
)
source_options = (
    option(
        "--class-list",
        default="",
        metavar="FILE|NAME",
        type=CLASS_LISTS,
        show_default="none; labels say their classes",
        help="The classes that numbers stand for, where images are labeled with numbers alone: one per line, in order.",
    ),
    option("--resplit", is_flag=True, help="Pool the train and val images of the dump, and hold out val anew."),
)


def to_pretrain(out: str) -> tuple[str, ...]:
    """Return the words of the command that trains on a dataset."""
    return ("in21k-train", "pretrain", out, "--model", "resnet50", "--pretrained", "--output", "runs/resnet50")


def note(text: str) -> None:
    """Print a note on stderr, on one line."""
    click.echo(f"note: {one_line(text, None)}", err=True)


def chosen_source(chosen: Mapping[str, Any]) -> "SourceChoices":
    """Return the user's choices about the dump."""
    from in21k.prep.raw.choices import SourceChoices

    return SourceChoices(chosen["class_list"], chosen["resplit"])
