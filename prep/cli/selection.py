"""The options that choose classes of a dump."""

from collections.abc import Mapping
from typing import Any

import click

from in21k.prep.cli.shared import chosen_source
from in21k.prep.cli.taxonomy import chosen_taxonomy
from in21k.prep.stages.filter import FilterParameters
from in21k.prep.stages.select import select

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
)


def chosen_filter(chosen: Mapping[str, Any]) -> FilterParameters:
    """Return the parameters of `filter` that options ask for.

    Raises:
        DatasetError, TreeError: one has a value that it cannot have.
    """
    taxonomy = chosen_taxonomy(chosen)
    selection = select(
        **{name: chosen[name] for name in ("classes", "exclude", "exclude_subtree", "only_subtree")},
        taxonomy=taxonomy,
    )
    return FilterParameters(chosen["min_images"], selection, taxonomy, chosen_source(chosen))
