"""The command that draws a dump to try everything with: demo."""

from pathlib import Path

import click

from in21k.prep.demo.species import MOST_SPECIES, SPECIES
from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import LocalPath, json_option
from in21k.shards_manifest.command.summary import print_summary


@command("demo")
@click.argument("output", metavar="RAW", type=LocalPath(), help="The tar or the folder to write.")
@option(
    "--tree",
    type=click.Choice(["wordnet", "taxonomy"]),
    default="wordnet",
    help="Draw wnids in a tar of class tars, or shapes in nested folders with their own taxonomy.",
)
@option(
    "--species",
    type=click.IntRange(2, MOST_SPECIES),
    metavar="N",
    show_default=str(SPECIES),
    help="With --tree taxonomy, how many classes have pictures.",
)
@option("--seed", default=0, metavar="N", help="Seed of the drawn pictures.")
@json_option
def demo_command(output: Path, tree: str, species: int | None, seed: int, as_json: bool) -> None:
    """Draw a small raw dump to try everything with.

    By default it is a tar of class tars, named by wnids. With --tree taxonomy it is a folder of nested class folders,
    or a tar of them if RAW ends in .tar: realms, families, genera and species of drawn shapes. Their taxonomy is
    written beside it, as RAW.csv.

    \b
    Examples:
      in21k-prep demo raw.tar
      in21k-prep run raw.tar work/ dataset/ --min-images 20 --val-per-class 8 --size 64
      in21k-prep demo shapes --tree taxonomy
      in21k-prep run shapes work/ dataset/ --edges shapes.csv --min-images 20 --val-per-class 8 --size 64
    """
    from in21k.prep.demo.dump import draw_dump
    from in21k.prep.demo.shapes import draw_shapes

    if tree == "taxonomy":
        summary = draw_shapes(output, seed=seed, species=SPECIES if species is None else species).summary()
    elif species is None:
        summary = draw_dump(output, seed=seed).summary()
    else:
        raise click.UsageError("--species is for --tree taxonomy; WordNet's demo has its own classes")
    options = ("--min-images", 20, "--val-per-class", 8, "--size", 64)
    edges = ("--edges", summary["edges"]) if "edges" in summary else ()
    run = ("in21k-prep", "run", output, "work/", "dataset/", *edges, *options)
    print_summary("demo", summary, as_json, then=[run])
