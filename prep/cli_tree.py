"""The commands about the hierarchy."""

from pathlib import Path

import click

from in21k.prep.cli_group import json_option, parents_option, print_summary
from in21k.prep.tree import write_tree
from in21k.tree.parents import ParentRule


@click.command("tree")
@click.argument("source", metavar="SOURCE")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("hierarchy.parquet"),
    show_default=True,
    help="The Parquet file to write.",
)
@parents_option
@json_option
def tree_command(source: str, output: Path, parents: str, as_json: bool) -> None:
    """Write the hierarchy table alone, of a prepared dataset or of a list of wnids.

    SOURCE is a dataset's folder, or a text file with a wnid a line.

    \b
    Example:
      in21k-prep tree wnids.txt --output hierarchy.parquet
      python -c "import pandas; print(pandas.read_parquet('hierarchy.parquet').path_names)"
    """
    print_summary("tree", write_tree(source, output, ParentRule(parents)), as_json)
