"""The training recipes, as TOML files; `in21k-train settings` explains each setting."""

import tomllib
from importlib import resources

from in21k.train.config.overrides import flatten, with_values
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError


def recipe_names() -> list[str]:
    """Return the names of the packaged recipes."""
    folder = resources.files("in21k.train.recipes")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_recipe(name: str) -> Config:
    """Return the configuration of a packaged recipe.

    Raises:
        TrainError: there is no recipe of that name.
    """
    if name not in (names := recipe_names()):
        raise TrainError(f"there is no recipe {name!r}; choose from: {', '.join(names)}")
    text = resources.files("in21k.train.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return parse_recipe(name, text)


def parse_recipe(name: str, text: str) -> Config:
    """Return the configuration of a recipe's TOML.

    Args:
        name: what to call the recipe in an error.
        text: the TOML.

    Raises:
        TrainError: it is not TOML, or a setting is unknown or has a value that it does not take.
    """
    try:
        return with_values(Config(), flatten(tomllib.loads(text)))
    except (tomllib.TOMLDecodeError, TrainError) as error:
        raise TrainError(f"recipe {name}: {error}") from error
