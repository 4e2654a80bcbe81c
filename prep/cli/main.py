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


@click.group(
    PROGRAM.name,
    cls=ProgramGroup,
    program=PROGRAM,
    before=leave_pandas_out,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="in21k", prog_name=PROGRAM.name)
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


for command in (
    cli_pipeline.filter_command,
    cli_pipeline.split_command,
    cli_pipeline.resize_command,
    cli_pipeline.shard_command,
    cli_pipeline.run_command,
    cli_dataset.rejects_command,
    cli_demo.demo_command,
    cli_classes.classes_command,
    cli_tree.tree_command,
    cli_tree.report_command,
    cli_dataset.verify_command,
    cli_dataset.repair_command,
    cli_dataset.sidecars_command,
    cli_dataset.inspect_command,
    cli_dataset.compare_command,
    cli_duplicates.duplicates_command,
):
    main.add_command(command)
