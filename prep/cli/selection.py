"""The options that choose classes and images of a dump."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from in21k.prep.cli.known import CLASS_LISTS, CLASSES, CLASSES_OR_FILE
from in21k.prep.cli.shared import chosen_source, note
from in21k.prep.cli.taxonomy import chosen_taxonomy
from in21k.shards_manifest.command.help import option
from in21k.shards_manifest.command.options import LocalPath

if TYPE_CHECKING:
    from in21k.prep.stages.filter import FilterParameters
    from in21k.prep.stages.record import StageRecord

selection_options = (
    option(
        "--classes",
        default="",
        metavar="LIST",
        type=CLASS_LISTS,
        show_default="all classes",
        help="Keep these classes alone: fall11-p, winter21-p, in12k, in1k, or a file with one class per line.",
    ),
    option(
        "--exclude",
        multiple=True,
        metavar="CLASS|FILE",
        type=CLASSES_OR_FILE,
        help="Drop a class, or those that a file lists. Repeatable.",
    ),
    option(
        "--exclude-subtree",
        multiple=True,
        metavar="CLASS",
        type=CLASSES,
        help="Drop a class and all below it, such as n00007846 (person). Repeatable.",
    ),
    option(
        "--only-subtree",
        multiple=True,
        metavar="CLASS",
        type=CLASSES,
        help="Drop all but a class and those below it. Repeatable.",
    ),
    option(
        "--max-images-per-class",
        default=0,
        metavar="N",
        show_default="all of them",
        help="Train on at most N images of each class; those of a smaller N are among them.",
    ),
    option(
        "--fraction",
        default=1.0,
        metavar="F",
        help="Train on this share of each class's images; those of 0.1 are among those of 0.2.",
    ),
    option("--min-side", default=0, metavar="PIXELS", help="Reject images with a side shorter than this."),
    option(
        "--split-file",
        nargs=2,
        type=LocalPath(),
        metavar="TRAIN VAL",
        show_default="none; --val-per-class decides",
        help="Take the split from two lists, a path and maybe a label per line; images in neither are rejected.",
    ),
)

export_option = option(
    "--export-lists",
    type=LocalPath(file_okay=False),
    metavar="FOLDER",
    help="Write the split as train.txt and val.txt to this folder, for --split-file.",
)


def note_unmatched(record: "StageRecord") -> None:
    """Print how many lines of the lists name nothing in the dump, and the first of them."""
    if named := record.notes.get("unmatched"):
        note(f"{record.counts['lines_without_image']:,} lines of --split-file name nothing in the dump: {named}")


def chosen_filter(chosen: Mapping[str, Any]) -> "FilterParameters":
    """Return the parameters of `filter` that options ask for.

    Raises:
        DatasetError, TreeError: one has a value that it cannot have.
    """
    from in21k.prep.stages.filter import FilterParameters
    from in21k.prep.stages.select import ImageSelection, select

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
