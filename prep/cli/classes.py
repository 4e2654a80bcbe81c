"""The command that lists classes: classes."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from in21k.prep.cli.known import CLASS_LISTS, CLASSES
from in21k.prep.cli.shared import chosen_source, parents_option, source_options
from in21k.prep.cli.taxonomy import chosen_taxonomy, taxonomy_options
from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import LocalPath, json_option, with_options
from in21k.shards_manifest.command.summary import print_summary
from in21k.shards_manifest.errors import escaped

if TYPE_CHECKING:
    from in21k.prep.dataset.classes import ClassRow


@command("classes")
@click.argument(
    "source",
    metavar="SOURCE",
    type=CLASS_LISTS,
    help="A raw dump, a work folder, a prepared dataset, or a published list: fall11-p, winter21-p, in12k or in1k.",
)
@option(
    "--subtree",
    multiple=True,
    metavar="CLASS",
    type=CLASSES,
    help="List only a class and those below it, on any path. Repeatable.",
)
@option("--kept", "which", flag_value="kept", help="List only classes that are kept.")
@option("--dropped", "which", flag_value="dropped", help="List only classes that are dropped.")
@option(
    "--export",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Write the classes to a file too: a .csv with all columns, or a list for --classes and --exclude.",
)
@with_options(taxonomy_options, source_options[:1], [parents_option, json_option])
def classes_command(
    source: str, subtree: tuple[str, ...], which: str | None, export: Path | None, as_json: bool, **chosen: Any
) -> None:
    """List classes: names, images, levels, and why some are dropped.

    Each class is a tab-separated line. In a dump and a list nothing is dropped yet, and levels count all its classes.

    \b
    Examples:
      in21k-prep classes imagenet21k/ --dropped
      in21k-prep classes fall11-p --subtree n00007846 --export people.txt
      in21k-prep run fall11_whole.tar work/ out/ --exclude people.txt
    """
    from in21k.prep.dataset.classes import list_classes, write_classes
    from in21k.tree.glosses import definition

    rows = list_classes(source, chosen_taxonomy(chosen), subtree, chosen_source(chosen | {"resplit": False}))
    rows = [row for row in rows if which is None or row.is_kept == (which == "kept")]
    if export is not None:
        write_classes(rows, export)
    if as_json:
        print_summary("classes", {**_counts(rows, export), "list": [asdict(row) for row in rows]}, as_json)
        return
    for row in rows:
        values = asdict(row) | {"gloss": definition(row.gloss)}
        click.echo("\t".join(escaped("" if value is None else str(value)) for value in values.values()))
    print_summary("classes", _counts(rows, export), as_json)


def _counts(rows: "list[ClassRow]", export: Path | None) -> dict[str, Any]:
    reasons = Counter(row.reason for row in rows if row.reason)
    images = sum(row.images or 0 for row in rows)
    exported = {"exported": str(export)} if export else {}
    return {"classes": len(rows), "images": images, "reasons": dict(sorted(reasons.items())), **exported}
