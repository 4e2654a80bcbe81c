"""Values that options of `in21k-train` are known to take, for shells to complete: models, recipes, settings."""

from in21k.shards_manifest.command.options import Known
from in21k.train.config.settings import SETTINGS
from in21k.train.model.architectures import ARCHITECTURES, TIMM_PREFIX
from in21k.train.model.timm_names import timm_models, timm_weights
from in21k.train.recipes.recipe import open_recipe, recipe_names


def _models(_: str) -> dict[str, str]:
    papers = {architecture.name: f"timm's {architecture.timm}" for architecture in ARCHITECTURES}
    return papers | dict.fromkeys(timm_models(), "")


def _checkpoints(begun: str) -> dict[str, str]:
    """Return the names of timm's weights, once `timm:` is there; and until then that alone."""
    if not begun.startswith(TIMM_PREFIX):
        return {TIMM_PREFIX: "weights of timm"}
    return {f"{TIMM_PREFIX}{name}": "" for name in timm_weights()}


def _recipes(_: str) -> dict[str, str]:
    return {name: open_recipe(name).summary for name in recipe_names()}


def _settings(begun: str) -> dict[str, str]:
    """Return the keys of the settings; once one is there, its choices."""
    key, equals, _ = begun.partition("=")
    if equals and key in SETTINGS:
        setting = SETTINGS[key]
        return {f"{key}={value}": "" for value in setting.choices or (("true", "false") * (setting.kind is bool))}
    return {f"{each}=": setting.help for each, setting in SETTINGS.items()}


RULES = Known(lambda _: {"auto": "", "holidays": "by the images' names", "classes": "by their classes"}, files=True)
MODELS = Known(_models)
MODELS_OR_FILES = Known(_models, files=True)
CHECKPOINTS = Known(_checkpoints, files=True)
RECIPES = Known(_recipes, files=True)
SETTINGS_BY_KEY = Known(_settings)
