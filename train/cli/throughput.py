"""The command that measures how fast a model would train: throughput."""

from typing import Any

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import PLACE
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

    print_result(core(data, config, steps), as_json)
