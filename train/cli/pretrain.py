"""The commands of pretraining: pretrain, evaluate, curves."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import PLACE, LocalPath, json_option
from in21k.shards_manifest.command.typed import typed_again
from in21k.shards_manifest.markers import CONFIG
from in21k.train.cli.boxes import evaluated_as_detector
from in21k.train.cli.checks import check_named
from in21k.train.cli.data_options import data_options, data_request, typed_data
from in21k.train.cli.known import MODELS, MODELS_OR_FILES
from in21k.train.cli.shared import (
    DEFAULT_RECIPE,
    inputs_option,
    print_result,
    quick_imports,
    recipe_option,
    setting_option,
    settings_of,
    shared,
    show_run,
    training,
)
from in21k.train.config.overrides import check_value, read_overrides, with_values
from in21k.train.config.settings import Config
from in21k.train.config.start import RANDOM, require_start
from in21k.train.model.architectures import ARCHITECTURES
from in21k.train.recipes.choice import choose

if TYPE_CHECKING:
    from in21k.train.data.open_data import DataRequest

_PER_STEP = "data.eval_batch_size"

PAPER_NAMES = ", ".join(architecture.name for architecture in ARCHITECTURES)


@command()
@click.argument(
    "data",
    metavar="DATA",
    type=PLACE,
    help="A prepared dataset: a folder or a URI with a manifest.json; or, with --layout, another as downloaded.",
)
@setting_option("model", required=True, metavar="NAME", type=MODELS, more=f"These are {PAPER_NAMES}.")
@recipe_option
@setting_option("pretrained")
@setting_option("init", metavar="FILE", type=PLACE, show_default="none")
@setting_option(
    "scratch", flag_value=RANDOM, help="Start from random weights, where the recipe starts from ImageNet-1K weights."
)
@inputs_option
@setting_option("teacher", metavar="PATH", type=MODELS_OR_FILES, more="For the distilling recipes.")
@setting_option("teacher_weights", metavar="FILE", type=PLACE)
@data_options("shards")
@training
@shared
def pretrain(
    data: str, output: Path, recipe: str, resume: bool, settings: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Train a model on a prepared dataset, or on one as downloaded.

    \b
    Examples:
      in21k-train pretrain imagenet21k/ --model TResNet-M --pretrained --output runs/tresnet_m --batch-size 512
      in21k-train pretrain imagenet21k/ --model resnet18 --scratch --output runs/r18 --set loss.label_smoothing=0.1
      in21k-train pretrain imagenet21k/ --model resnet50 --pretrained --output runs/r50 --batch-size 512 --resume
      in21k-train pretrain in21k/ --recipe semantic-distillation --teacher a --model resnet50 --pretrained --output b
      in21k-train pretrain s3://bucket/in21k --recipe mine.toml --model resnet50 --init r50.safetensors --output runs/m
      in21k-train pretrain oi --layout openimages --recipe multi-label --model resnet50 --pretrained --output runs/oi
    """
    asked = data_request(data, options)
    values = read_overrides(settings) | settings_of(options)
    choice = choose(recipe, values, default=DEFAULT_RECIPE, run=output if resume else None)
    if not (resume and (output / CONFIG).exists()):
        require_start(choice.config.model, choice.recipe.name)
    check_named(data, model=choice.config.model.name)
    with quick_imports():
        from in21k.train.trainer.loop import pretrain as core

    evaluation = ("in21k-train", "evaluate", *typed_data(), "--checkpoint", output)
    transfer = ("in21k-train", "transfer", "photos/", "--checkpoint", output, "--output", f"{output}-photos")
    show_run(lambda: core(asked, output, choice, resume=resume), as_json, [evaluation, transfer])


@command()
@click.argument(
    "data",
    metavar="DATA",
    type=PLACE,
    help="A prepared dataset; with --layout, what the checkpoint was transferred to.",
)
@option(
    "--checkpoint",
    type=LocalPath(),
    metavar="PATH",
    help="A run's folder, a checkpoint's folder, or its model.safetensors.",
)
@option("--model", metavar="NAME", type=MODELS, help="A published model instead, by timm's name or the paper's.")
@option(
    "--weights",
    type=LocalPath(),
    metavar="FILE",
    show_default="timm's, a download",
    help="The published model's weights.",
)
@inputs_option
@setting_option(
    "batch_size",
    key="data.eval_batch_size",
    metavar="N",
    more="Of videos, frames per step.",
    show_default="256; of a detector, its own number",
)
@setting_option("clips", metavar="N", show_default="as in the model's training")
@data_options("shards")
@option("--raw", is_flag=True, help="Evaluate the weights themselves instead of their moving average.")
@option(
    "--output",
    type=LocalPath(),
    metavar="FOLDER",
    help="Write the scores, predictions.parquet and per_class.parquet; on a hierarchy the curve of specificity against "
    "accuracy and the errors of each subtree; of your own images explorer.html, a page with right and wrong ones.",
)
@option(
    "--predictions",
    type=LocalPath(),
    metavar="FILE.parquet",
    help="Write a row per validation image: its class, and the guess and its probability at each level; and beside it "
    "per_class.parquet, a row per class.",
)
@option(
    "--worst",
    type=click.IntRange(0),
    metavar="N",
    show_default="10 with --output or --predictions, else 0",
    help="Name the N classes with the lowest score and what they are taken for.",
)
@shared
def evaluate(
    data: str,
    checkpoint: Path | None,
    model: str | None,
    weights: Path | None,
    inputs: str | None,
    batch_size: int | None,
    raw: bool,
    output: Path | None,
    predictions: Path | None,
    worst: int | None,
    clips: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score a model on a dataset's validation images.

    The metrics are those of the training scheme, and semantic top-1 beside that of always guessing the majority class.
    A detector gets COCO's metric on the val images of a folder in COCO's layout.
    Of a published model's classifier, the rows of DATA's classes are used, matched by wnid.

    \b
    Examples:
      in21k-train evaluate imagenet21k/ --checkpoint runs/r50/checkpoints/step-00001234 --json
      in21k-train evaluate imagenet21k/ --checkpoint runs/r50 --output evaluations/r50
      in21k-train evaluate imagenet21k/ --checkpoint runs/r50 --predictions r50.parquet
      in21k-train evaluate cars/ --layout imagefolder --checkpoint runs/r50-cars --worst 20
      in21k-train evaluate videos/ --layout video --checkpoint runs/r50-videos --clips 3
      in21k-train evaluate imagenet21k/ --model TResNet-M
      in21k-train evaluate in21k/ --model mobilenetv3_large_100.miil_in21k --weights mobilenetv3_large_100_miil_21k.pth
    """
    if (checkpoint is None) == (model is None):
        raise click.UsageError("give either --checkpoint or --model")
    asked = data_request(data, options)
    _check_model(model, asked.layout, has_weights=bool(weights or inputs))
    check_named(data, checkpoint=str(checkpoint or ""), model=model or "")
    per_step = {} if batch_size is None else {_PER_STEP: check_value(_PER_STEP, batch_size, "--batch-size")}
    values = settings_of(options | {"clips": clips}) | per_step
    config = with_values(Config(), {_PER_STEP: 256} | values)
    unfit = _first_given(output=output, predictions=predictions, worst=worst)
    if checkpoint is not None and evaluated_as_detector(asked, checkpoint, values, unfit, raw=raw, as_json=as_json):
        return
    files = output, predictions, (10 if output or predictions else 0) if worst is None else worst
    asked = replace(asked, checkpoint=checkpoint)
    found = _evaluated(asked, (checkpoint, raw), (model, weights, inputs), config, files, clips)
    print_result(found, as_json, _next(data, asked.layout, output or predictions))


def _next(data: str, layout: str, written: Path | None) -> list[tuple[object, ...]]:
    """Return what to type after an evaluation: the explorer of the dataset with what the model says of its images."""
    if layout != "shards":  # there is no explorer of others' datasets
        return []
    if written is None:
        return [("in21k-train", "evaluate", *typed_again(), "--output", "evaluation/")]
    return [("in21k-prep", "report", data, "--run", written)]


def _evaluated(
    asked: "DataRequest",
    trained: tuple[Path | None, bool],
    published: tuple[str | None, Path | None, str | None],
    config: Config,
    files: tuple[Path | None, Path | None, int],
    clips: int | None,
) -> dict[str, Any] | None:
    """Return the summary of a checkpoint or, where there is none, of a published model."""
    with quick_imports():
        from in21k.train.evaluation.scores import EvaluationFiles, published_model, trained_model
        from in21k.train.evaluation.scores import evaluate as core
        from in21k.train.model.published import PublishedModel, wanted_of

    (checkpoint, raw), (model, weights, inputs) = trained, published
    if checkpoint is not None:
        opener, wanted = trained_model(checkpoint, raw=raw), []
    else:
        asked_for = PublishedModel(model or "", weights, inputs or "auto")
        opener, wanted = published_model(asked_for), wanted_of(asked_for)
    return core(asked, opener, config.data, config.run, EvaluationFiles(*files), clips, wanted)


def _first_given(**values: Any) -> str:
    """Return the first option with a value, such as `--output`; empty if there is none."""
    return next((f"--{name}" for name, value in values.items() if value), "")


def _check_model(model: str | None, layout: str, *, has_weights: bool) -> None:
    """Refuse options of evaluate that do not go with the model."""
    if model is None and has_weights:
        raise click.UsageError("--weights and --inputs belong to --model; a checkpoint has its own")
    if model is not None and layout != "shards":
        raise click.UsageError("--model is evaluated on a prepared dataset; --layout belongs to --checkpoint")


@command()
@click.argument("runs", nargs=-1, required=True, type=LocalPath(), metavar="RUN…", help="A run's folder.")
@option(
    "--output",
    default="curves.png",
    type=LocalPath(),
    metavar="FILE",
    help="The PNG to write.",
)
@json_option
def curves(runs: tuple[Path, ...], output: Path, as_json: bool) -> None:
    """Plot the curves of one or several runs over their epochs.

    \b
    Examples:
      in21k-train curves runs/r50 runs/r50-adamw --output r50.png
    """
    from in21k.train.run.curve_plot import plot_curves

    plot_curves(runs, output)
    print_result({"curves": output, "runs": list(map(str, runs))}, as_json)
