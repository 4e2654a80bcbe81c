"""The commands on the hierarchy: tree, report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from in21k.prep.cli.known import CLASS_LISTS
from in21k.prep.cli.shared import parents_option
from in21k.prep.cli.taxonomy import chosen_taxonomy, edges_option, print_findings, tree_source, with_taxonomy
from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import LocalPath, Size, json_option
from in21k.shards_manifest.command.summary import print_next, print_summary
from in21k.shards_manifest.command.typed import typed_again
from in21k.tree.errors import FindingsError
from in21k.tree.findings import HierarchyFinding
from in21k.tree.parents import ParentRule


@command("tree")
@click.argument(
    "source",
    metavar="[SOURCE]",
    required=False,
    type=CLASS_LISTS,
    help="A prepared dataset, a text file with one class per line, or a published list: fall11-p, winter21-p, in12k or "
    "in1k; with --edges it may be left out.",
)
@option(
    "--output",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    show_default="hierarchy.parquet, or class-map.csv with --map-to",
    help="The file to write.",
)
@with_taxonomy
@option(
    "--map-to",
    metavar="TARGET",
    type=CLASS_LISTS,
    help="Write a CSV that maps each class to one of TARGET's instead: a list's name, a class list, or a dataset.",
)
@option(
    "--compare",
    metavar="OTHER",
    type=CLASS_LISTS,
    help="Report the differences from another hierarchy: the authors' .pth file, a hierarchy table, or a class list.",
)
@parents_option
@json_option
def tree_command(
    source: str | None,
    output: Path | None,
    map_to: str | None,
    compare: str | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Write only the hierarchy of a dataset, a list or a taxonomy.

    With --edges and without SOURCE, the classes are all those that the edges name.

    With --edges-from-folders, SOURCE is a dump of nested class folders or a list of paths; with --flat, a dump or a
    list of any labels.

    With --map-to, the classes are mapped to those of another list: to the same synset, the nearest ancestor, or the
    nearest descendant. Under several hypernyms, all paths count.

    Findings have codes, explained in docs/hierarchy.md: E… are errors, W… are warnings.

    \b
    Examples:
      in21k-prep tree fall11-p --output hierarchy.parquet
      in21k-prep tree --edges taxonomy.csv --output taxonomy.parquet
      in21k-prep tree inaturalist/ --edges-from-folders --output inaturalist.parquet
      in21k-prep tree fall11-p --compare imagenet21k_miil_tree.pth
      in21k-prep tree fall11-p --map-to in1k --output 21k-to-1k.csv
      python -c "import pandas; print(pandas.read_parquet('hierarchy.parquet').path_names)"
    """
    _require_source(source, chosen["edges"])
    if map_to is not None:
        _refuse_both(compare)
        _write_map(source, map_to, output, chosen["edges"], as_json)
        return
    from in21k.prep.hierarchy.write import write_hierarchy

    try:
        table, taxonomy = output or Path("hierarchy.parquet"), chosen_taxonomy(chosen)
        summary, findings = write_hierarchy(tree_source(source, taxonomy), table, taxonomy, compare)
    except FindingsError as error:
        if as_json:
            print_summary("tree", _listed(error.findings), as_json)
        raise
    if as_json:
        print_summary("tree", summary | _listed(findings), as_json)
        return
    print_summary("tree", summary, as_json)
    print_findings(findings)
    if not (chosen["from_folders"] or chosen["flat"]):  # of which report knows nothing
        print_next([("in21k-prep", "report", *typed_again(only={"source", "edges", "parents"}))])


def _refuse_both(compare: str | None) -> None:
    if compare is not None:
        raise click.UsageError("give --map-to or --compare, not both")


def _listed(findings: Sequence[HierarchyFinding]) -> dict[str, Any]:
    return {"findings": [found.to_json() for found in findings]}


def _write_map(source: str | None, target: str, output: Path | None, edges: Path | None, as_json: bool) -> None:
    from in21k.prep.hierarchy.write_map import write_class_map

    print_summary("tree", write_class_map(source, target, output or Path("class-map.csv"), edges), as_json)


@command("report")
@click.argument(
    "source",
    metavar="[SOURCE]",
    required=False,
    type=CLASS_LISTS,
    help="A prepared dataset, or what `in21k-prep tree` takes; the report then has no pictures and counts.",
)
@option(
    "--output",
    type=LocalPath(file_okay=False),
    default=Path("report"),
    metavar="FOLDER",
    help="The folder to write to.",
)
@edges_option
@option(
    "--thumbnails",
    "budget",
    type=Size(),
    default=12 << 20,
    show_default="12MiB",
    help="The most that the page's sample pictures may take together.",
)
@option(
    "--run",
    metavar="RUN",
    help="Lay what a model says of the val images over the page: the folder of `in21k-train evaluate --output`, or a "
    "table of predictions.",
)
@parents_option
@json_option
def report_command(
    source: str | None, output: Path, edges: Path | None, budget: int, run: str | None, parents: str, as_json: bool
) -> None:
    """Write a page to explore a dataset: map, tree, samples, plots.

    The page, report.html, is one file that works without a network.

    \b
    Examples:
      in21k-prep report imagenet21k/ --output report/
      in21k-prep report fall11-p --output report/
      in21k-prep report imagenet21k/ --run evaluations/r50 --output report/
    """
    _require_source(source, edges)
    from in21k.prep.hierarchy.report import write_report

    print_summary("report", write_report(source, output, ParentRule(parents), edges, budget, run), as_json)


def _require_source(source: str | None, edges: Path | None) -> None:
    if source is None and edges is None:
        raise click.UsageError("SOURCE is missing, or --edges in its place")
