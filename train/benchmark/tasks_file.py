"""The list of tasks: a TOML file, checked before anything runs.

[defaults]
seeds = [0, 1, 2]

[tasks.cars]
kind = "fine-tune"
data = "cars"                 # relative to this file
recipe = "transfer-single-label"
set.optim.lr = 1e-4
"""

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from in21k.shards_manifest.command.nearest import did_you_mean
from in21k.shards_manifest.errors import DatasetError, one_line
from in21k.shards_manifest.storage.local_files import is_missing, open_regular
from in21k.train.benchmark.kinds import KINDS, PATH_KEYS, Kind
from in21k.train.benchmark.option_values import RULES, require_option
from in21k.train.config.overrides import check_value, flatten
from in21k.train.errors import TrainError
from in21k.train.recipes.recipe import open_recipe

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a task or a label may be called: it becomes a folder."""

_LONGEST = 1 << 20
_MOST_SEEDS = 1000
_COMMON = ("kind", "data", "title", "metric", "seeds", "recipe", "set")


@dataclass(frozen=True)
class Task:
    """A downstream task."""

    name: str
    kind: str
    data: str
    """A path or a URI."""
    title: str
    """What the table calls it."""
    metric: str = ""
    """The key in the summary of the score that the table has; empty for the kind's first."""
    seeds: tuple[int, ...] = (0,)
    recipe: str = ""
    """Empty for the command's own."""
    recipe_sha256: str = ""
    """Of the recipe's files, where they are the user's."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the command, by their keys."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By dotted key."""

    @property
    def of_kind(self) -> Kind:
        """Its kind."""
        return KINDS[self.kind]


def read_tasks(path: Path) -> list[Task]:
    """Return the tasks of a file, in its order.

    Raises:
        TrainError: it is not TOML, or something in it is not as it should be; the message names the key and the value.
        DatasetError: it cannot be read.
    """
    with os.fdopen(open_regular(str(path), str(path)), "rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise TrainError(f"{path} is longer than {_LONGEST} bytes; a list of tasks is not")
    try:
        tables = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TrainError(f"{path}: {one_line(error)}") from error
    return _Reader(path).tasks(tables)


class _Reader:
    """Reads the tables of a file, which every message names."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def tasks(self, tables: Mapping[str, Any]) -> list[Task]:
        """Return the tasks."""
        self._require_keys("", tables, ("defaults", "tasks"))
        defaults = self._table("defaults", tables.get("defaults", {}))
        self._require_keys("defaults", defaults, _all_keys())
        found = self._table("tasks", tables.get("tasks", {}))
        if not found:
            raise TrainError(f"{self._path}: there are no tasks; give each a table, such as [tasks.cars]")
        return [self._task(name, self._table(f"tasks.{name}", own), defaults) for name, own in found.items()]

    def _task(self, name: str, own: Mapping[str, Any], defaults: Mapping[str, Any]) -> Task:
        where = f"tasks.{name}"
        if not NAME.fullmatch(name):
            raise self._wrong("tasks", name, "a name of letters, digits, '.', '_' and '-' only, 64 at most")
        kind_name = self._text(where, {**defaults, **own}, "kind")
        if kind_name not in KINDS:
            raise self._wrong(f"{where}.kind", kind_name, f"one of {', '.join(KINDS)}")
        kind = KINDS[kind_name]
        without = {"recipe": kind.takes_recipe, "set": kind.takes_settings}
        known = tuple(key for key in (*_COMMON, *kind.keys) if without.get(key, True))
        self._require_keys(where, own, known)
        values = {key: value for key, value in {**defaults, **own}.items() if key in known}
        self._require_seeds(where, own, kind_name)
        recipe, digest = self._recipe(where, values) if kind.takes_recipe else ("", "")
        return Task(
            name=name,
            kind=kind_name,
            data=self._data(where, values),
            title=self._text(where, {"title": name, **own}, "title"),
            metric=self._metric(where, values, kind),
            seeds=self._seeds(where, values.get("seeds", [0])) if kind.is_seeded else (0,),
            recipe=recipe,
            recipe_sha256=digest,
            options=self._options(where, values, kind),
            settings=self._settings(where, own, defaults, kind),
        )

    def _require_seeds(self, where: str, own: Mapping[str, Any], kind: str) -> None:
        """Refuse seeds of a kind that has none; those of the defaults are for the others."""
        if "seeds" in own and not KINDS[kind].is_seeded:
            raise self._wrong(f"{where}.seeds", own["seeds"], f"left out: the result of a {kind} depends on no seed")

    def _data(self, where: str, values: Mapping[str, Any]) -> str:
        text = self._text(where, values, "data")
        path = self._beside(text)
        if is_missing(path):
            raise TrainError(f"{self._path}: {where}.data: {path}: there is no such file or folder")
        return path

    def _metric(self, where: str, values: Mapping[str, Any], kind: Kind) -> str:
        if "metric" not in values:
            return ""
        if (metric := values["metric"]) not in kind.metrics:
            raise self._wrong(f"{where}.metric", metric, f"one of {', '.join(kind.metrics)}")
        return str(metric)

    def _recipe(self, where: str, values: Mapping[str, Any]) -> tuple[str, str]:
        """Return a recipe's name or path, and the digest of its files if it is a path."""
        if "recipe" not in values:
            return "", ""
        name = self._text(where, values, "recipe")
        is_path = name.endswith(".toml") or "/" in name
        name = self._beside(name) if is_path else name
        try:
            layers = open_recipe(name).layers
        except DatasetError as error:
            raise TrainError(f"{self._path}: {where}.recipe: {one_line(error, None)}") from error
        digest = hashlib.sha256("".join(layer.sha256 for layer in layers).encode()).hexdigest()
        return name, digest if is_path else ""

    def _seeds(self, where: str, value: Any) -> tuple[int, ...]:
        is_list = isinstance(value, list) and 0 < len(value) <= _MOST_SEEDS
        if not is_list or not all(type(seed) is int and 0 <= seed < 1 << 63 for seed in value):
            raise self._wrong(f"{where}.seeds", value, "a list of whole numbers of 0 or more, such as [0, 1, 2]")
        if len(set(value)) < len(value):
            raise self._wrong(f"{where}.seeds", value, "each seed once")
        return tuple(value)

    def _options(self, where: str, values: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
        found = {}
        for key in kind.keys:
            if key in kind.required and key not in values:
                raise TrainError(f"{self._path}: {where}: {key} is missing; a task of this kind needs it")
            if (value := values.get(key)) is None:
                continue
            if isinstance(value, list) and value and all(type(each) in (int, str) for each in value):
                value = ",".join(map(str, value))
            if type(value) not in (str, int, float):
                raise self._wrong(f"{where}.{key}", value, "a text or a number")
            found[key] = self._beside(value) if key in PATH_KEYS or _is_list(key, value) else value
            try:
                require_option(key, found[key])
            except ValueError as error:
                raise self._wrong(f"{where}.{key}", values[key], str(error)) from error
        return found

    def _settings(self, where: str, own: Mapping[str, Any], defaults: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
        """Return the settings of a task by dotted key, those of the defaults among them; each is checked."""
        found: dict[str, Any] = dict(kind.settings)
        for place, tables in (("defaults", defaults), (where, own)):
            for key, value in flatten(self._table(f"{place}.set", tables.get("set", {}))).items():
                try:
                    found[key] = check_value(key, value)
                except TrainError as error:
                    raise TrainError(f"{self._path}: {place}.set: {one_line(error)}") from error
        if "run.seed" in found:
            raise self._wrong(f"{where}.set", "run.seed", "left out; give seeds = [0, 1, 2]")
        return found if kind.takes_settings else {}

    def _beside(self, text: Any) -> str:
        """Return a path relative to the file's folder; a URI as it is."""
        path = str(text)
        return path if "://" in path else os.path.normpath(self._path.parent / path)

    def _text(self, where: str, values: Mapping[str, Any], key: str) -> str:
        if key not in values:
            raise TrainError(f"{self._path}: {where}: {key} is missing")
        value = values[key]
        if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 4096:
            raise self._wrong(f"{where}.{key}", value, "a text")
        return value

    def _table(self, where: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(where, value, f"a table, [{where}]")
        return value

    def _require_keys(self, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                hint = did_you_mean(key, known, f"there are {', '.join(known)}")
                named = f"{where}.{key}" if where else key
                raise TrainError(f"{self._path}: {one_line(named)}: there is no such key; {hint}")

    def _wrong(self, where: str, value: Any, wanted: str) -> TrainError:
        return TrainError(f"{self._path}: {one_line(where)} = {one_line(repr(value), 80)}: it must be {wanted}")


def _is_list(key: str, value: Any) -> bool:
    """Return whether a value says what is relevant in a retrieval by naming a file."""
    return key == "relevance" and value not in RULES


def _all_keys() -> tuple[str, ...]:
    """Return the keys that some kind of task has."""
    return tuple(dict.fromkeys((*_COMMON, *(key for kind in KINDS.values() for key in kind.keys))))
