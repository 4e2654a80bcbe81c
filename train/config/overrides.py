"""Settings from files and the command line: read, checked, compared."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from in21k.train.config.ranges import converted
from in21k.train.config.settings import Config, RunConfig
from in21k.train.errors import TrainError

_READING = ("data.eval_batch_size", "data.strict", "data.verify_digest", "data.cache", "data.cache_size")


_RUNNING = tuple(f"run.{field.name}" for field in fields(RunConfig) if field.name != "seed")


RESUMABLE = frozenset({*_READING, *_RUNNING, "optim.accumulate"})
"""What may change when a run is resumed: where and how it is computed, not what."""


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a configuration with other values.

    Args:
        config: the values that stay.
        values: by dotted key, such as `optim.lr`.

    Raises:
        TrainError: a key is unknown, or a value of another type or outside its range.
    """
    known = flatten(config.to_dict())
    for key, value in values.items():
        if key not in known:
            raise TrainError(f"there is no setting {key!r}; the settings are: {', '.join(known)}")
        section, name = key.split(".")
        checked = converted(key, value, type(known[key]))
        config = replace(config, **{section: replace(getattr(config, section), **{name: checked})})
    return config


def parse_setting(text: str) -> tuple[str, Any]:
    """Return the key and the value of `key=value`; the value is read as TOML, and as text where it is none.

    Raises:
        TrainError: there is no `=`.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise TrainError(f"--set {text!r} is not of the form key=value, such as optim.lr=2e-4")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


_BEFORE: Mapping[str, Any] = {"model.inputs": "unit"}
"""What was done before there was a setting for it, where that is not the default."""


def config_from_dict(sections: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return the configuration that `to_dict` gave, perhaps by an older version that had fewer settings."""
    stored = flatten({field.name: sections.get(field.name, {}) for field in fields(Config)})
    return with_values(Config(), {**_BEFORE, **stored})


def differences(old: Config, new: Config) -> list[str]:
    """Return what a run may not be resumed with, a `key: old → new` each."""
    before, after = flatten(old.to_dict()), flatten(new.to_dict())
    return [
        f"{key}: {before[key]!r} → {value!r}"
        for key, value in after.items()
        if before[key] != value and key not in RESUMABLE
    ]


def flatten(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values by dotted key."""
    flat: dict[str, Any] = {}
    for section, values in sections.items():
        if isinstance(values, Mapping):
            flat.update({f"{section}.{name}": value for name, value in values.items()})
        else:
            flat[section] = values
    return flat
