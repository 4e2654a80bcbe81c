"""Settings from files and the command line: read, checked, compared."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from in21k.shards_manifest.command.nearest import MOST, did_you_mean
from in21k.train.config.settings import SETTINGS, Config, RunConfig
from in21k.train.errors import TrainError

_READING = tuple(
    f"data.{name}"
    for name in ("eval_batch_size", "strict", "max_skipped", "verify_digest", "cache", "cache_size", "pinned_bytes")
)

_RUNNING = tuple(f"run.{field.name}" for field in fields(RunConfig) if field.name != "seed")

RESUMABLE = frozenset({*_READING, *_RUNNING, "optim.accumulate", "model.grad_checkpointing", "model.start"})
"""The settings that may change when a run is resumed: they decide where and how it is computed, not what."""

_BEFORE: Mapping[str, Any] = {"model.inputs": "unit"}
"""What was done before there was a setting for it, where that is not today's default."""


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a configuration with some values replaced.

    Args:
        config: the values that stay.
        values: by dotted key, such as `optim.lr`.

    Raises:
        TrainError: a key is unknown, or a value has the wrong type or is outside its range.
    """
    for key, value in values.items():
        checked = check_value(key, value)
        section, name = key.split(".")
        config = replace(config, **{section: replace(getattr(config, section), **{name: checked})})
    return config


def check_value(key: str, value: Any, named: str = "") -> Any:
    """Return a setting's value as the setting's type.

    Args:
        key: the setting's dotted key.
        value: what was given.
        named: what to call the setting in an error about the value; by default its key.

    Raises:
        TrainError: the key is unknown, or the value has the wrong type or is outside its range.
    """
    if key not in SETTINGS:
        raise TrainError(f"there is no setting {key!r}; {_suggestion(key)}")
    return SETTINGS[key].checked(named or key, value)


def _suggestion(key: str) -> str:
    """Return a question about the nearest settings: by names without their section, by what they are, by whole keys."""
    name = key.rpartition(".")[2]
    words = re.compile(rf"\b{re.escape(name.replace('_', ' '))}\b", re.IGNORECASE)
    by_name = [known for known in SETTINGS if known.partition(".")[2] == name]
    about = [known for known, setting in SETTINGS.items() if "_" in name and words.search(setting.help)]
    if likely := by_name or about[:MOST]:
        return f"did you mean {' or '.join(likely)}?"
    return did_you_mean(key, SETTINGS, "`in21k-train settings` lists all of them")


def read_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Return the settings that `key=value` texts give, each of them checked; the last one for a key wins.

    Raises:
        TrainError: a text has no `=`, names an unknown setting, or gives a value that the setting does not take.
    """
    values = {}
    for key, value in map(parse_setting, texts):
        values[key] = check_value(key, value)
    return values


def parse_setting(text: str) -> tuple[str, Any]:
    """Return the key and the value of `key=value`.

    The value is read as TOML. It is taken as text if it is not TOML, or if the setting is text: `7` is a folder's name.

    Raises:
        TrainError: there is no `=`.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise TrainError(f"--set {text!r} is not of the form key=value, such as optim.lr=2e-4")
    try:
        read = tomllib.loads(f"value = {value}")["value"]
    except ValueError:  # TOMLDecodeError, or a number with thousands of digits
        return key, value
    known = SETTINGS.get(key)
    is_text = known is not None and (known.kind is str or (known.by_epoch and not isinstance(read, int)))
    return key, value if is_text and not isinstance(read, str) else read


def config_from_dict(sections: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return the configuration that `to_dict` gave, possibly in an older version that had fewer settings."""
    stored = flatten({field.name: sections.get(field.name, {}) for field in fields(Config)})
    return with_values(Config(), {**_BEFORE, **stored})


def differences(old: Config, new: Config) -> list[str]:
    """Return the changed settings that a run cannot be resumed with, each as `key: old → new`."""
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
