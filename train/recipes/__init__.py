"""The training recipes, a TOML file a scheme; `in21k.train.config` says what each setting is."""

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
        raise TrainError(f"there is no recipe {name!r}; name one of: {', '.join(names)}")
    text = resources.files("in21k.train.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return with_values(Config(), flatten(tomllib.loads(text)))
