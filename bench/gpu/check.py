"""A check, what it reports, and how it is carried out in a process of its own."""

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpu.setup import Setup

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Failed(Exception):  # noqa: N818 - a result, like the next one
    """What a check looks at is not as it should be; the message is one line."""


class Skip(Exception):  # noqa: N818
    """A check cannot be carried out here; the message says why."""


@dataclass(frozen=True)
class Check:
    """A check: a function of `gpu/`, which takes a `Setup` and these arguments and returns an `Outcome`."""

    name: str
    function: str
    """Such as `runs.scheme`, in the module `gpu/runs.py`; the module is imported in the check's own process alone."""
    arguments: tuple[Any, ...] = ()
    devices: int = 1
    """Devices that it takes: 2 are two GPUs, or two processes on a CPU."""
    gpu_only: str = ""
    """Why it is left out on a CPU; empty where it is not."""
    seconds: int = 240
    """After which it is ended; a CPU gets `CPU_FACTOR` times as long."""
    is_quick: bool = False
    """Whether `--quick` keeps it."""
    is_figure: bool = False
    """Whether it measures: those run one at a time, after all others."""


@dataclass(frozen=True)
class Outcome:
    """What a check that passed has seen."""

    note: str = ""
    """One line."""
    figures: Mapping[str, str] = field(default_factory=dict)
    """Measured values by name, as the table shows them."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same, or others, as numbers."""


@dataclass(frozen=True)
class Result:
    """How a check ended."""

    name: str
    status: str
    """passed, failed or skipped."""
    note: str
    """One line: what was seen, what is wrong, or why it was skipped."""
    seconds: float = 0.0
    figures: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def carry_out(check: Check, setup: Setup, answer: Path) -> None:
    """Carry out a check in this process and write how it ended to a file."""
    partial = answer.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(result_of(check, setup))), encoding="utf-8")
    partial.rename(answer)


def result_of(check: Check, setup: Setup) -> Result:
    """Return how a check ends that is carried out in this process."""
    try:
        outcome = function_of(check)(setup, *check.arguments)
    except Skip as reason:
        return Result(check.name, SKIPPED, one_line(str(reason)))
    except Failed as failure:
        return Result(check.name, FAILED, one_line(str(failure)))
    except Exception as error:  # a check that breaks is one that failed
        traceback.print_exc(file=sys.stderr)
        return Result(check.name, FAILED, one_line(f"{type(error).__name__}: {error}"))
    return Result(check.name, PASSED, one_line(outcome.note), figures=outcome.figures, facts=outcome.facts)


def function_of(check: Check) -> Callable[..., Outcome]:
    """Return a check's function."""
    module, name = check.function.rsplit(".", 1)
    function: Callable[..., Outcome] = getattr(importlib.import_module(f"gpu.{module}"), name)
    return function


def one_line(text: str, longest: int = 240) -> str:
    """Return a text on one line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
