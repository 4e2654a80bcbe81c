"""A recipe: the settings in a TOML file, on top of those of the recipe that it extends."""

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from in21k.shards_manifest.command.nearest import did_you_mean
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.local_files import local_path, open_regular
from in21k.train.config.overrides import check_value, flatten, with_values
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError

SUFFIX = ".toml"

EXTENDS = "extends"
"""The key at the top of a recipe's file that names the recipe whose settings it changes."""

LONGEST = 1 << 18
"""Bytes of a recipe's file that are read; ours have two thousand."""

MOST = 32
"""Recipes that may extend one another."""


SECTIONS = tuple(field.name for field in fields(Config))
_SECTIONS = f"the sections are {', '.join(SECTIONS[:-1])} and {SECTIONS[-1]}"


@dataclass(frozen=True)
class Layer:
    """One of the files that a recipe is made of."""

    name: str
    """The name of a packaged recipe, or the path of a file."""
    sha256: str
    """Of its bytes."""


@dataclass(frozen=True)
class Recipe:
    """All settings of a recipe, and where each is from."""

    name: str
    """As it was asked for: the name of a packaged recipe, or the path of a file."""
    summary: str
    """The first line of its comments, without its mark."""
    config: Config
    layers: tuple[Layer, ...]
    """The recipe itself, then what it extends, and so on."""
    sources: Mapping[str, str]
    """By dotted key, the name of the layer that gives the value; settings that no layer names have their defaults."""

    def source(self, key: str) -> str:
        """Return where a setting's value is from: a layer's name, or `default`."""
        return self.sources.get(key, "default")


@dataclass(frozen=True)
class _File:
    """A recipe's file as read."""

    name: str
    place: Path | None
    """Its path; None for a packaged one."""
    text: str
    sha256: str

    @property
    def identity(self) -> str:
        """What tells it from others, whatever path led to it."""
        return self.name if self.place is None else str(self.place.resolve())


def recipe_names() -> list[str]:
    """Return the names of the packaged recipes."""
    folder = resources.files("in21k.train.recipes")
    return sorted(file.name.removesuffix(SUFFIX) for file in folder.iterdir() if file.name.endswith(SUFFIX))


def open_recipe(name: str) -> Recipe:
    """Return a recipe with all its settings.

    Args:
        name: of a packaged recipe, or the path of a TOML file, which ends in `.toml` or has a `/`.

    Raises:
        TrainError: there is no such recipe or file, it is too long or no TOML, recipes extend each other in a circle,
            or a setting is unknown or has a value that it does not take.
        DatasetError: the file cannot be read.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    files = []
    for file, own in _chain(_read(name, Path())):
        files.append(file)
        values = own | values  # what extends comes first, and wins
        sources = dict.fromkeys(own, file.name) | sources
    return Recipe(
        name=name,
        summary=_summary(files[0].text),
        config=with_values(Config(), values),
        layers=tuple(Layer(file.name, file.sha256) for file in files),
        sources=sources,
    )


def parse_recipe(name: str, text: str) -> Config:
    """Return the configuration of the TOML of a recipe that extends none.

    Args:
        name: what to call the recipe in an error.
        text: the TOML.

    Raises:
        TrainError: it is not TOML, or a setting is unknown or has a value that it does not take.
    """
    return with_values(Config(), _checked(name, _parse(name, text)))


def _chain(file: _File) -> Iterator[tuple[_File, dict[str, Any]]]:
    """Yield a recipe's file and those that it extends, each with its own settings."""
    seen: list[_File] = []
    while True:
        if file.identity in {each.identity for each in seen}:
            raise TrainError(f"recipes extend each other in a circle: {' → '.join(e.name for e in (*seen, file))}")
        if len(seen) == MOST:
            raise TrainError(f"recipe {seen[0].name} extends more than {MOST} others; fold some of them together")
        seen.append(file)
        tables = _parse(file.name, file.text)
        base = tables.pop(EXTENDS, None)
        yield file, _checked(file.name, tables)
        if base is None:
            return
        if not isinstance(base, str) or not base or "\0" in base:
            shown = one_line(repr(base), 80)
            raise TrainError(f"recipe {file.name}: {EXTENDS} must be the name of a recipe or a file, not {shown}")
        file = _read(base, file.place.parent if file.place else Path(), by=file.name)


def _read(name: str, folder: Path, by: str = "") -> _File:
    """Return the file of a recipe; a path is relative to a folder, and `by` names the recipe that extends it."""
    if name in (names := recipe_names()):
        content = resources.files("in21k.train.recipes").joinpath(f"{name}{SUFFIX}").read_bytes()
        return _file_of(name, None, content)
    if not (name.endswith(SUFFIX) or "/" in name or os.sep in name):
        blamed = f"recipe {by}: " if by else ""
        hint = did_you_mean(name, names, f"`in21k-train recipes` lists them, and a file of yours ends in {SUFFIX}")
        raise TrainError(f"{blamed}there is no recipe {name!r}; {hint}")
    path = folder / local_path(name)
    with os.fdopen(open_regular(str(path), str(path)), "rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise TrainError(f"recipe {path} is longer than {LONGEST} bytes; a recipe holds settings alone")
    return _file_of(str(path), path, content)


def _file_of(name: str, path: Path | None, content: bytes) -> _File:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TrainError(f"recipe {name}: it is not UTF-8 text: {one_line(error)}") from error
    return _File(name, path, text, hashlib.sha256(content).hexdigest())


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        raise TrainError(f"recipe {name}: {one_line(error)}") from error


def _checked(name: str, tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's own settings by dotted key, each checked."""
    for section, values in tables.items():
        if isinstance(values, dict) and section not in SECTIONS:
            hint = did_you_mean(section, SECTIONS, _SECTIONS)
            raise TrainError(f"recipe {name}: there is no section [{one_line(section, 80)}]; {hint}")
    try:
        return {key: check_value(key, value) for key, value in flatten(tables).items()}
    except TrainError as error:
        raise TrainError(f"recipe {name}: {one_line(error)}") from error


def _summary(text: str) -> str:
    first = text.lstrip("\ufeff\n").partition("\n")[0]
    return one_line(first.lstrip("# ").strip()) if first.startswith("#") else ""
