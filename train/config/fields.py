"""How a setting is declared: its help and its range or choices stand beside its default."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from in21k.shards_manifest.command.nearest import LISTED, nearest
from in21k.shards_manifest.sizes import SizeError, parse_size
from in21k.train.config.sizes import EXAMPLE, checked_size
from in21k.train.errors import TrainError

Value = TypeVar("Value", bool, int, float, str)

METADATA = "setting"
"""Where a dataclass field's metadata holds its `Setting`."""

_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Setting:
    """What is known of a setting besides its value."""

    kind: type
    """bool, int, float or str."""
    help: str
    """One sentence for `--help` and the documentation."""
    low: float | None = None
    """The least value, for numbers."""
    high: float | None = None
    """The greatest value, for numbers."""
    choices: tuple[str, ...] = ()
    """All values, for text that is one of a few words."""
    text: Literal["", "free", "size"] = ""
    """For text without choices: free (a name or a path), or a size in bytes."""
    by_epoch: bool = False
    """Whether, instead of a number, it also takes a text of numbers by epoch."""

    @property
    def takes(self) -> str:
        """Its values, in words: `0 to 1`, `auto, cpu or cuda`, `true or false`."""
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        if self.low is not None and self.high is not None:
            more = f", or by epoch: {EXAMPLE}" if self.by_epoch else ""
            return f"{_shown(self.low)} to {_shown(self.high)}{more}"
        return "a size" if self.text == "size" else _KINDS[self.kind]

    def checked(self, name: str, value: Any) -> Any:
        """Return a value as the setting's type; a whole number serves as a float.

        Args:
            name: what to call the setting in an error: its key, or the option that was given.
            value: as TOML, JSON or the command line gave it.

        Raises:
            TrainError: it is of another type, outside the range, or not one of the choices.
        """
        if self.by_epoch and isinstance(value, str):
            value = checked_size(name, value)
            if isinstance(value, str):
                return value
        accepted = (int, float) if self.kind is float else (self.kind,)
        if type(value) not in accepted:  # exactly: a bool is an int to Python
            raise TrainError(f"{name} must be {_KINDS[self.kind]}, not {value!r}")
        if self.choices and value not in self.choices:
            raise TrainError(f"{name} must be {_meant(value, self.choices) or self.takes}, not {value!r}")
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:  # nan is in no range
            raise TrainError(f"{name} must be between {_shown(self.low)} and {_shown(self.high)}, not {value!r}")
        if self.text == "size":
            _check_size(name, value)
        return self.kind(value)


def _meant(value: str, choices: tuple[str, ...]) -> str:
    """Return which choices may have been meant where there are too many to name; empty where there are not."""
    return " or ".join(nearest(value, choices)) if len(choices) > LISTED else ""


def setting(
    default: Value,
    help: str,  # noqa: A002 - as argparse and click call it
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    text: Literal["", "free", "size"] = "",
    by_epoch: bool = False,
) -> Value:
    """Return a dataclass field with a default, and with what is known of the setting in its metadata.

    Numbers need a range, and text needs choices or a word on what it is; `Setting` explains both.
    """
    known = Setting(kind=type(default), help=help, low=low, high=high, choices=choices, text=text, by_epoch=by_epoch)
    declared: Value = field(default=default, metadata={METADATA: known})
    return declared


def _shown(bound: float) -> str:
    return f"{bound:.15g}" if isinstance(bound, float) else str(bound)


def _check_size(name: str, value: str) -> None:
    try:
        parse_size(value)
    except SizeError as error:
        raise TrainError(f"{name}: {error}") from error
