"""The training recipes, as TOML files; `in21k-train settings` explains each setting."""

from in21k.train.config.settings import Config
from in21k.train.recipes.recipe import open_recipe as open_recipe
from in21k.train.recipes.recipe import parse_recipe as parse_recipe
from in21k.train.recipes.recipe import recipe_names as recipe_names


def read_recipe(name: str) -> Config:
    """Return the configuration of a recipe; otherwise as `open_recipe`."""
    return open_recipe(name).config
