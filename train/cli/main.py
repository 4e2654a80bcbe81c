"""The program `in21k-train`: each command reads its options, calls one function and prints a summary."""

import click

from in21k.shards_manifest.command.group import ProgramGroup
from in21k.train.cli import benchmark as cli_benchmark
from in21k.train.cli import embed as cli_embed
from in21k.train.cli import lists as cli_lists
from in21k.train.cli import pretrain as cli_pretrain
from in21k.train.cli import publish as cli_publish
from in21k.train.cli import recipes as cli_recipes
from in21k.train.cli import retrieve as cli_retrieve
from in21k.train.cli import throughput as cli_throughput
from in21k.train.cli import transfer as cli_transfer
from in21k.train.cli import use as cli_use
from in21k.train.cli.shared import PROGRAM


@click.group(
    PROGRAM.name,
    cls=ProgramGroup,
    program=PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="in21k", prog_name=PROGRAM.name)
def main(debug: bool) -> None:
    """Pretrain vision backbones on a dataset that in21k-prep wrote.

    On several GPUs: torchrun --nproc-per-node 8 -m in21k.train pretrain …
    """


for command in (
    cli_pretrain.pretrain,
    cli_pretrain.evaluate,
    cli_pretrain.curves,
    cli_throughput.throughput,
    cli_transfer.transfer,
    cli_use.predict,
    cli_embed.embed,
    cli_retrieve.retrieve,
    cli_benchmark.benchmark,
    cli_publish.export,
    cli_lists.models,
    cli_lists.settings_command,
    cli_recipes.recipes,
):
    main.add_command(command)
