"""The commands that list what can be chosen: models, settings."""

import json
from collections.abc import Mapping
from typing import Any

import click

from in21k.shards_manifest.command.columns import table_lines
from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.numbers import count_text
from in21k.shards_manifest.command.options import json_option
from in21k.shards_manifest.command.summary import print_summary
from in21k.train.cli.known import RECIPES
from in21k.train.config.overrides import flatten
from in21k.train.config.settings import SETTINGS, Config
from in21k.train.model.architectures import architecture_rows
from in21k.train.recipes import read_recipe


@command()
@json_option
def models(as_json: bool) -> None:
    """List the paper's architectures: size, speed, batch size.

    --model takes them by these names, and all of timm's. Parameters and multiply-adds are counted with 1,000 classes at
    224 pixels. Speed (training images per second) and batch size are the authors' figures for one V100.

    \b
    Examples:
      in21k-train models
      in21k-train models --json
    """
    rows = architecture_rows()
    if as_json:
        print_summary("models", {"models": rows}, as_json)
        return
    head = ("name", "timm", "parameters", "multiply-adds", "V100 images/s", "V100 batch")
    for line in table_lines(head, list(map(_cells, rows)), right=range(2, len(head))):
        click.echo(line)


@command("settings")
@option(
    "--recipe", default="", metavar="NAME|FILE", type=RECIPES, help="Show this recipe's values instead of the defaults."
)
@json_option
def settings_command(recipe: str, as_json: bool) -> None:
    """List what --set and recipes can change: values and ranges.

    \b
    Examples:
      in21k-train settings
      in21k-train settings --recipe semantic-distillation
    """
    values = flatten((read_recipe(recipe) if recipe else Config()).to_dict())
    if as_json:
        rows = [
            {"key": key, "value": values[key], "takes": SETTINGS[key].takes, "help": SETTINGS[key].help}
            for key in SETTINGS
        ]
        print_summary("settings", {"settings": rows}, as_json)
        return
    for key, setting in SETTINGS.items():
        click.echo(f"{key} = {json.dumps(values[key])}  ({setting.takes})\n    {setting.help}")


def _cells(row: Mapping[str, Any]) -> list[str]:
    sizes = (f"{row['parameters'] / 1e6:.1f} M", f"{row['macs'] / 1e6:,.0f} M")
    return [row["name"], row["timm"], *sizes, count_text(row["v100_train_speed"]), count_text(row["v100_batch_size"])]
