"""The options that put another taxonomy in the place of WordNet, and the findings about it as they are printed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from in21k.shards_manifest.command.columns import table_lines
from in21k.shards_manifest.command.help import option
from in21k.shards_manifest.command.options import LocalPath
from in21k.tree.findings import HierarchyFinding, count_codes

if TYPE_CHECKING:
    from in21k.tree.taxonomy import Taxonomy

SHOWN = 20
"""How many findings are printed; the rest are counted, and --json lists all."""

edges_option = option(
    "--edges",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="A CSV of child,parent, child,parent,name or child,parent,name,gloss that replaces WordNet, for any other "
    "taxonomy.",
)
taxonomy_options = (
    edges_option,
    option(
        "--edges-from-folders",
        "from_folders",
        is_flag=True,
        help="Replace WordNet by the folders around the images: a class is labeled with its folder's path.",
    ),
    option("--flat", is_flag=True, help="Take the names of folders or tars as labels, without any hierarchy."),
)


def with_taxonomy(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for each in reversed(taxonomy_options):
        command = each(command)
    return command


def tree_source(source: str | None, taxonomy: "Taxonomy") -> str | list[str] | None:
    """Return what `tree` reads the classes from: the labels of a dump, if labels need not be known, or the source."""
    from in21k.prep.stages.labels import dump_labels
    from in21k.shards_manifest.manifest import MANIFEST
    from in21k.shards_manifest.storage.location import locate
    from in21k.tree.class_lists import PublishedList
    from in21k.tree.taxonomy import TaxonomyKind

    if source is None or taxonomy.kind not in (TaxonomyKind.FOLDERS, TaxonomyKind.FLAT):
        return source
    is_list = Path(source).is_file() and not source.lower().endswith((".tar", ".tar.gz", ".tgz"))
    is_named = source in list(PublishedList) or locate(source).child(MANIFEST).exists()
    return source if is_list or is_named else dump_labels(locate(source), taxonomy)


def chosen_taxonomy(chosen: Mapping[str, Any]) -> "Taxonomy":
    """Return the taxonomy that the options ask for.

    Raises:
        UsageError: they exclude each other.
        TreeError: the file of edges is unusable.
    """
    from in21k.tree.edges import edge_hierarchy, read_edges
    from in21k.tree.parents import ParentRule
    from in21k.tree.taxonomy import EdgeTaxonomy, FlatTaxonomy, FolderTaxonomy, WordNet

    given = {"--edges": chosen["edges"], "--edges-from-folders": chosen["from_folders"], "--flat": chosen["flat"]}
    named = [name for name, value in given.items() if value]
    if len(named) > 1:
        raise click.UsageError(f"{' and '.join(named)} exclude each other: give one of them")
    rule = ParentRule(chosen["parents"])
    if chosen["edges"]:
        edges = read_edges(chosen["edges"])
        edge_hierarchy(edges, rule=rule)  # raises on cycles and malformed rows
        return EdgeTaxonomy(edges, rule)
    if chosen["from_folders"] or chosen["flat"]:
        return FolderTaxonomy() if chosen["from_folders"] else FlatTaxonomy()
    return WordNet(rule)


def print_findings(findings: Sequence[HierarchyFinding], write: Callable[[str], object] = click.echo) -> None:
    """Print how many findings each code has, and a table of the first ones."""
    if not findings:
        return
    counts = ", ".join(f"{count:,} {code}" for code, count in count_codes(findings).items())
    write(f"findings: {counts}")
    rows = [(finding.code, finding.subject, finding.message) for finding in findings[:SHOWN]]
    for line in table_lines((), rows):
        write(f"  {line}")
    if len(findings) > SHOWN:
        write(f"  and {len(findings) - SHOWN:,} more; --json lists all")
