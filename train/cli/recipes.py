"""The commands about recipes: list them, show one with all its values."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from in21k.shards_manifest.command.columns import table_lines, terminal_width
from in21k.shards_manifest.command.help import HelpGroup
from in21k.shards_manifest.command.options import json_option
from in21k.shards_manifest.command.summary import print_summary
from in21k.shards_manifest.errors import escaped
from in21k.train.cli.known import RECIPES
from in21k.train.recipes.recipe import Recipe, open_recipe, recipe_names


@click.group(cls=HelpGroup, invoke_without_command=True)
@json_option
@click.pass_context
def recipes(context: click.Context, as_json: bool) -> None:
    """List the training recipes, or show one with all its values.

    \b
    Examples:
      in21k-train recipes
      in21k-train recipes show semantic-softmax
    """
    if context.invoked_subcommand is not None:
        return
    found = [open_recipe(name) for name in recipe_names()]
    if as_json:
        print_summary("recipes", {"recipes": [{"name": each.name, "summary": each.summary} for each in found]}, as_json)
        return
    for line in table_lines((), [(each.name, each.summary) for each in found], width=terminal_width()):
        click.echo(line)


@recipes.command()
@click.argument("recipe", metavar="NAME|FILE", type=RECIPES, help="A recipe's name, or a TOML file of yours.")
@json_option
def show(recipe: str, as_json: bool) -> None:
    """Print a recipe with all its values, and which file each is from.

    It is TOML that --recipe takes again. What a recipe does not say has the default.

    \b
    Examples:
      in21k-train recipes show semantic-softmax
      in21k-train recipes show mine.toml --json
    """
    found = open_recipe(recipe)
    if as_json:
        print_summary("recipes show", _as_json(found), as_json)
        return
    for line in _as_toml(found):
        click.echo(line)


def _as_json(recipe: Recipe) -> dict[str, Any]:
    sections = recipe.config.to_dict()
    keys = [f"{section}.{name}" for section, values in sections.items() for name in values]
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "layers": [asdict(layer) for layer in recipe.layers],
        "values": sections,
        "sources": {key: recipe.source(key) for key in keys},
    }


def _as_toml(recipe: Recipe) -> Iterator[str]:
    yield f"# {escaped(recipe.summary or recipe.name)}"
    for section, values in recipe.config.to_dict().items():
        yield f"\n[{section}]"
        lines = {name: f"{name} = {_toml(value)}" for name, value in values.items()}
        width = max(map(len, lines.values()))
        for name, line in lines.items():
            yield f"{line:<{width}}  # {escaped(recipe.source(f'{section}.{name}'))}"


def _toml(value: str | float | bool) -> str:
    """Return a value as TOML has it; JSON's texts are TOML's, but for the escapes of what is not ASCII."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
