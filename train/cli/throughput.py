"""The command that measures how fast a model would train: throughput."""

from typing import Any

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import PLACE
from in21k.shards_manifest.command.typed import typed_again
from in21k.train.cli.checks import check_named
from in21k.train.cli.known import MODELS, MODELS_OR_FILES
from in21k.train.cli.shared import (
    DEFAULT_RECIPE,
    OF_RECIPE,
    any_setting_option,
    print_result,
    quick_imports,
    recipe_option,
    setting_option,
    settings_of,
    shared,
)
from in21k.train.config.overrides import read_overrides
from in21k.train.config.settings import ModelConfig
from in21k.train.config.start import WEIGHTS
from in21k.train.model.architectures import find_architecture
from in21k.train.recipes.choice import choose


@command()
@click.argument("data", metavar="DATA", type=PLACE, help="A prepared dataset: a folder or a URI with a manifest.json.")
@setting_option("model", required=True, metavar="NAME", type=MODELS)
@recipe_option
@option("--steps", type=click.IntRange(1), default=100, metavar="N", help="Steps to measure, each time.")
@setting_option("teacher", metavar="PATH", type=MODELS_OR_FILES, more="For the distilling recipes.")
@setting_option("teacher_weights", metavar="FILE", type=PLACE)
@setting_option("batch_size", metavar="N", show_default=OF_RECIPE)
@setting_option("compile")
@any_setting_option
@shared
def throughput(data: str, recipe: str, steps: int, settings: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Measure how fast a model would train, and what bounds it.

    Nothing is written. It gives images per second of the training step alone, on one batch that stays on the device; of
    the loader alone; and of both together, as in a run.

    \b
    Examples:
      in21k-train throughput out --model resnet50 --batch-size 512
      in21k-train throughput out --model mobilenetv3_large_100 --batch-size 1024 --set data.augment_device=gpu
    """
    config = choose(recipe, read_overrides(settings) | settings_of(options), default=DEFAULT_RECIPE).config
    check_named(data, model=config.model.name)
    with quick_imports():
        from in21k.train.trainer.throughput import throughput as core

    summary = core(data, config, steps)
    print_result(summary, as_json, [] if summary is None else [_next(config.model)])


def _next(model: ModelConfig) -> tuple[object, ...]:
    """Return what to type next: a run with what was measured, from weights where the recipe asks for some."""
    import timm

    known = find_architecture(model.name)
    has_weights = bool(known.imagenet1k) if known else timm.models.is_model_pretrained(model.name)
    is_open = model.start == WEIGHTS and not (model.pretrained or model.init)
    start = (("--pretrained",) if has_weights else ("--scratch",)) if is_open else ()
    return ("in21k-train", "pretrain", *typed_again(("steps", "as_json")), *start, "--output", f"runs/{model.name}")
