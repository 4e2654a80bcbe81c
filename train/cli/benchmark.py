"""The command that runs a list of downstream tasks over checkpoints: benchmark."""

from pathlib import Path

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import LocalPath, json_option
from in21k.shards_manifest.command.summary import print_summary
from in21k.train.cli.known import CHECKPOINTS
from in21k.train.cli.shared import quick_imports, setting_option


@command()
@click.argument(
    "checkpoints",
    nargs=-1,
    required=True,
    metavar="CHECKPOINT…",
    type=CHECKPOINTS,
    help="What transfer takes as --checkpoint, or NAME=PATH; NAME=PATH,PATH,PATH share a row.",
)
@option("--tasks", required=True, type=LocalPath(), metavar="FILE", help="The list of tasks, a TOML file.")
@option("--output", required=True, type=LocalPath(), metavar="FOLDER", help="The folder of the table and all runs.")
@option(
    "--jobs",
    type=click.IntRange(1, 4096),
    default=1,
    metavar="N",
    help="Runs at once; they share the cores, and the GPUs in turn.",
)
@setting_option("device", help="Device to compute on, for tasks that set none; auto takes a GPU if there is one.")
@option(
    "--rows",
    type=click.Choice(("checkpoints", "tasks")),
    default="checkpoints",
    help="What the rows of the table are.",
)
@json_option
def benchmark(
    checkpoints: tuple[str, ...], tasks: Path, output: Path, jobs: int, device: str | None, rows: str, as_json: bool
) -> None:
    """Run a list of downstream tasks over checkpoints.

    The table of their scores has confidence intervals. NAME=PATH,PATH,PATH are checkpoints that were pretrained alike
    with different seeds. What has finished is kept: start the same command again after a kill, or with more tasks,
    seeds or checkpoints.

    \b
    Examples:
      in21k-train benchmark runs/r50 runs/vit --tasks tasks.toml --output benchmarks/two
      in21k-train benchmark single=runs/sl-0,runs/sl-1 softmax=runs/ss-0,runs/ss-1 --tasks tasks.toml --output table2
      in21k-train benchmark ours=runs/r50 timm:resnet50.a1_in1k --tasks tasks.toml --output b --jobs 8 --rows tasks
    """
    with quick_imports():
        from in21k.train.benchmark.benchmark import BenchmarkRequest
        from in21k.train.benchmark.benchmark import benchmark as core

    request = BenchmarkRequest(checkpoints, tasks, jobs, device or "", by_task=rows == "tasks")
    summary = core(request, output)
    table = summary.pop("markdown")
    if not as_json:
        click.echo(f"{table}\n", nl=False)
        del summary["table"], summary["runs"]  # the table shows them, and so do the folder's files
    print_summary("benchmark", summary, as_json)
