"""The program `in21k-prep`: each command reads its options, calls one function and prints a summary."""

import click

from in21k.prep.cli import classes as cli_classes
from in21k.prep.cli import dataset as cli_dataset
from in21k.prep.cli import demo as cli_demo
from in21k.prep.cli import duplicates as cli_duplicates
from in21k.prep.cli import hierarchy as cli_tree
from in21k.prep.cli import pipeline as cli_pipeline
from in21k.prep.cli.shared import PROGRAM
from in21k.prep.without_pandas import leave_pandas_out
from in21k.shards_manifest.command.group import ProgramGroup
from in21k.shards_manifest.command.version import version_option

OPTION_CAPTIONS = {
    "Classes and images": (
        *("min_images", "classes", "exclude", "exclude_subtree", "only_subtree"),
        *("max_images_per_class", "fraction", "min_side", "split_file", "class_list", "resplit"),
    ),
    "Taxonomy": ("edges", "from_folders", "flat", "parents"),
    "Split": ("val_per_class", "order", "seed"),
    "Resizing": ("size", "mode", "filter", "format", "quality", "on_warning", "compat"),
    "Shards": ("samples_per_shard", "drop_duplicates", "against", "distance"),
    "Machine": ("workers", "memory", "executor", "scheduler"),
    "This run": ("subtree", "which", "export", "output", "map_to", "compare", "dry_run", "force", "as_json", "help"),
}
"""The groups in which commands with many options list them."""


@click.group(
    PROGRAM.name,
    cls=ProgramGroup,
    program=PROGRAM,
    before=leave_pandas_out,
    option_captions=OPTION_CAPTIONS,
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@version_option(PROGRAM.name)
def main(debug: bool) -> None:
    """Turn the raw ImageNet-21K dump into shuffled WebDataset shards, without unpacking it.

    \b
    All stages in one command:
      in21k-prep run fall11_whole.tar work/ imagenet21k/
    or one at a time:
      in21k-prep filter fall11_whole.tar work/
      in21k-prep split work/
      in21k-prep resize work/
      in21k-prep shard work/ imagenet21k/

    A stage that was killed continues where it stopped: run the same command again.
    """


main.add_commands("To begin with", [cli_demo.demo_command, cli_classes.classes_command])
main.add_commands(
    "From a dump to a dataset",
    [
        cli_pipeline.run_command,
        cli_pipeline.filter_command,
        cli_pipeline.split_command,
        cli_pipeline.resize_command,
        cli_pipeline.shard_command,
    ],
)
main.add_commands(
    "To look at a dataset",
    [
        cli_tree.tree_command,
        cli_tree.report_command,
        cli_dataset.inspect_command,
        cli_dataset.rejects_command,
    ],
)
main.add_commands(
    "To check it and keep it sound",
    [
        cli_dataset.verify_command,
        cli_dataset.repair_command,
        cli_dataset.compare_command,
        cli_duplicates.duplicates_command,
        cli_dataset.sidecars_command,
    ],
)
