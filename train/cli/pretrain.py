"""The commands of pretraining: pretrain, evaluate, curves."""

import json
from pathlib import Path
from typing import Any

import click

from in21k.train.cli.shared import inputs_option, print_summary, settings_of, shared, show_run, training
from in21k.train.model.architectures import ARCHITECTURES

PAPER_NAMES = ", ".join(architecture.name for architecture in ARCHITECTURES)


@click.command()
@click.argument("data")
@click.option("--model", required=True, metavar="NAME", help=f"A model of timm, or one of the paper: {PAPER_NAMES}.")
@click.option("--recipe", default="semantic-softmax", show_default=True, metavar="NAME", help="The training scheme.")
@click.option("--pretrained", is_flag=True, default=None, help="Begin with timm's weights.")
@click.option("--init", metavar="FILE", help="Begin with a file's weights; a classifier of another size is left out.")
@inputs_option
@click.option(
    "--teacher", metavar="PATH", help="Of a distilling recipe: a run, a file of weights, or a published model's name."
)
@click.option("--teacher-weights", metavar="FILE", help="The published teacher's weights; by default timm's.")
@training
@shared
def pretrain(
    data: str, output: Path, recipe: str, resume: bool, settings: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Train a model on DATA, a folder or a URI with a manifest.json.

    \b
    Examples:
      in21k-train pretrain out --model TResNet-M --pretrained --output runs/tresnet_m --batch-size 512
      in21k-train pretrain s3://bucket/in21k --model resnet18 --output runs/r18 --set loss.label_smoothing=0.1
      in21k-train pretrain out --model resnet50 --pretrained --output runs/r50 --batch-size 512 --resume
      in21k-train pretrain out --recipe semantic-distillation --teacher runs/tresnet_l --model resnet50 --output runs/kd
    """
    from in21k.train.config.overrides import parse_setting, with_values
    from in21k.train.recipes import read_recipe

    config = with_values(read_recipe(recipe), dict(map(parse_setting, settings)) | settings_of(options))
    from in21k.train.trainer.loop import pretrain as core

    show_run(lambda: core(data, output, config, resume=resume), as_json)


@click.command()
@click.argument("data")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A run's folder, a checkpoint's, or its model.safetensors.",
)
@click.option(
    "--model", metavar="NAME", help="In place of a checkpoint: a published model, by timm's or the paper's name."
)
@click.option(
    "--weights", type=click.Path(path_type=Path), metavar="FILE", help="Its weights; by default timm downloads them."
)
@inputs_option
@click.option(
    "--batch-size", type=int, default=256, show_default=True, metavar="N", help="Images of a step of one process."
)
@click.option("--raw", is_flag=True, help="Measure a run's weights themselves, not their moving average.")
@shared
def evaluate(
    data: str,
    checkpoint: Path | None,
    model: str | None,
    weights: Path | None,
    inputs: str | None,
    batch_size: int,
    raw: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure a checkpoint or a published model on the val split of DATA: semantic top-1, beside the majority guess.

    Of a published model the classifier's rows of DATA's classes are taken, by wnid.

    \b
    Examples:
      in21k-train evaluate out --checkpoint runs/r50
      in21k-train evaluate out --checkpoint runs/r50/checkpoints/step-00001234 --json
      in21k-train evaluate out --model TResNet-M
      in21k-train evaluate out --model mobilenetv3_large_100.miil_in21k --weights mobilenetv3_large_100_miil_21k.pth
    """
    if (checkpoint is None) == (model is None):
        raise click.UsageError("name either --checkpoint or --model")
    if model is None and (weights or inputs):
        raise click.UsageError("--weights and --inputs belong to --model; a checkpoint has its own")
    from in21k.train.config.overrides import with_values
    from in21k.train.config.settings import Config

    config = with_values(Config(), settings_of(options) | {"data.eval_batch_size": batch_size})
    if checkpoint is not None:
        from in21k.train.evaluation.scores import evaluate_checkpoint

        print_summary(evaluate_checkpoint(data, checkpoint, config.data, config.run, raw=raw), as_json)
    elif model is not None:
        from in21k.train.evaluation.scores import evaluate_published
        from in21k.train.model.published import PublishedModel

        published = PublishedModel(model, weights, inputs or "auto")
        print_summary(evaluate_published(data, published, config.data, config.run), as_json)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--output", default="curves.png", show_default=True, type=click.Path(path_type=Path), metavar="FILE", help="A PNG."
)
def curves(runs: tuple[Path, ...], output: Path) -> None:
    """Draw the curves of one run or several over their epochs.

    \b
    Examples:
      in21k-train curves runs/r50 runs/r50-adamw --output r50.png
    """
    from in21k.train.run.curve_plot import plot_curves

    plot_curves(runs, output)
    click.echo(f"curves: {output}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def models(as_json: bool) -> None:
    """List the architectures of the paper, which --model takes by these names beside timm's.

    Parameters and multiply-adds are those with 1,000 classes at 224 pixels. Speed (images a second in training) and
    batch size are the authors', on one V100.
    """
    from in21k.train.model.cost import architecture_rows

    rows = architecture_rows()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    lines = [("name", "timm", "parameters", "multiply-adds", "V100 images/s", "V100 batch")]
    for row in rows:
        sizes = (f"{row['parameters'] / 1e6:.1f} M", f"{row['macs'] / 1e6:,.0f} M")
        lines.append((row["name"], row["timm"], *sizes, str(row["v100_train_speed"]), str(row["v100_batch_size"])))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        names = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
        click.echo("  ".join([*names, *numbers]))
