"""What a command asks for: a recipe, and values of its own; and what a run records of it, to be resumed by that."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from in21k.shards_manifest.errors import DatasetError, one_line
from in21k.shards_manifest.markers import CONFIG
from in21k.train.config.overrides import RESUMABLE, flatten, with_values
from in21k.train.config.records import Record, RecordError, read_record
from in21k.train.config.settings import SETTINGS, Config
from in21k.train.config.start import KEY
from in21k.train.errors import TrainError
from in21k.train.recipes.recipe import Layer, Recipe, open_recipe

RECIPE = "recipe"
SOURCES = "sources"


@dataclass(frozen=True)
class Choice:
    """A recipe, and values that replace its own."""

    recipe: Recipe
    values: Mapping[str, Any] = field(default_factory=dict)
    """Given on the command line, by dotted key."""
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    """What follows from the checkpoint that a transfer starts with, by dotted key."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What follows from the data that a transfer is trained on, by dotted key."""
    is_named: bool = True
    """Whether the command names the recipe; it is the command's default otherwise."""

    @property
    def config(self) -> Config:
        """The configuration before its names and defaults are resolved."""
        return with_values(self.recipe.config, {**self.checkpoint, **self.data, **self.values})

    def record(self, resolved: Config) -> dict[str, Any]:
        """Return what config.json says besides the resolved values: the recipe, and where each value is from.

        A setting that is not among the sources has its default.
        """
        layers = [asdict(layer) for layer in self.recipe.layers]
        return {RECIPE: {"name": self.recipe.name, "layers": layers}, SOURCES: self._sources(resolved)}

    def _sources(self, resolved: Config) -> dict[str, str]:
        asked, found = flatten(self.config.to_dict()), dict(self.recipe.sources)
        found |= dict.fromkeys(self.checkpoint, "checkpoint") | dict.fromkeys(self.data, "data")
        found |= dict.fromkeys(self.values, "command line")
        found |= {key: "resolved" for key, value in flatten(resolved.to_dict()).items() if value != asked[key]}
        return {key: found[key] for key in SETTINGS if key in found}


def choose(name: str, values: Mapping[str, Any], *, default: str = "", run: Path | None = None) -> Choice:
    """Return what a command asks for.

    Args:
        name: of the recipe, or its file's path; empty for the default.
        values: from the command line, by dotted key.
        default: the command's own recipe.
        run: the folder of a run to resume. If it was started with this recipe, its file may be gone by now.

    Raises:
        TrainError: there is no such recipe, or it or a value is wrong.
        DatasetError: the recipe's file cannot be read.
    """
    try:
        recipe = open_recipe(name or default)
    except DatasetError:
        kept = recorded_recipe(run) if run is not None and (run / CONFIG).exists() else None
        if kept is None or kept.name != name:
            raise
        recipe = kept
    choice = Choice(recipe, values, is_named=bool(name))
    choice.config  # noqa: B018 - checks the values
    return choice


def resumed(choice: Choice, run: Path) -> tuple[Choice, list[str]]:
    """Return what resuming a run asks for: the values that the run was started with, and those of this command.

    Only settings that say where and how to compute are the recipe's as it is now. A command that names another recipe
    than the run's gets that one, so that the differences are told.

    Returns:
        The choice, and the values in which the recipe is another one by now, each as `key: then → now`.

    Raises:
        TrainError: the run's config.json is damaged.
    """
    kept, now = recorded_recipe(run), flatten(choice.recipe.config.to_dict())
    is_another = kept.name != choice.recipe.name if kept.name else now["loss.scheme"] != kept.config.loss.scheme
    if choice.is_named and is_another:
        return choice, []
    then = flatten(kept.config.to_dict())
    told = () if is_another else choice.recipe.sources.keys() - RESUMABLE - {*choice.values, *choice.data} - _RESOLVED
    changed = [f"{key}: {then[key]!r} → {now[key]!r}" for key in sorted(told) if then[key] != now[key]]
    config = with_values(kept.config, {key: now[key] for key in RESUMABLE - {KEY}})
    recipe = replace(kept, name=kept.name or choice.recipe.name, config=config)
    return replace(choice, recipe=recipe, data={}), changed


_RESOLVED = frozenset({"model.name", "model.inputs", "data.image_size"})
"""Settings whose recorded value is another than the one asked for."""


def recorded_recipe(run: Path) -> Recipe:
    """Return the recipe that a run's config.json records, with the run's resolved values.

    A run of an older version records no name for it, and no sources.

    Raises:
        TrainError: the file is damaged.
    """
    path = run / CONFIG
    try:
        return _recorded(read_record(path))
    except (OSError, ValueError) as error:
        raise TrainError(f"{path} is damaged ({one_line(error)}); give another --output") from error


def _recorded(record: Record) -> Recipe:
    config = record.section("config").config()
    if RECIPE not in record.values:
        return Recipe("", "", config, (), {})
    kept, sources = record.section(RECIPE), record.section(SOURCES)
    layers = tuple(Layer(_name_in(each, "name"), each.text("sha256")) for each in kept.sections("layers"))
    return Recipe(_name_in(kept, "name"), "", config, layers, {key: _name_in(sources, key) for key in sources.values})


def _name_in(record: Record, key: str) -> str:
    """Return a recipe's name, which may be a path of any length and any bytes."""
    value = record.value(key)
    if not isinstance(value, str):
        raise RecordError(f"{key} is no text")
    return value
