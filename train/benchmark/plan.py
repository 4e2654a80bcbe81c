"""The runs of a benchmark: which there are, where each one's folder is, and the command that each takes."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from in21k.train.benchmark.checkpoints import Checkpoint, Group
from in21k.train.benchmark.tasks_file import Task
from in21k.train.config.overrides import RESUMABLE

RUNS = "runs"
"""The folder of all runs, within that of the benchmark."""


@dataclass(frozen=True)
class PlannedRun:
    """One task on one checkpoint with one seed."""

    task: Task
    label: str
    number: int
    """Of the checkpoint among those of its label, counted from 0."""
    checkpoint: Checkpoint
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        seed = f", seed {self.seed}" if self.task.of_kind.is_seeded else ""
        return f"{self.task.name}, {self.label} {self.number}{seed}"

    @property
    def record(self) -> Path:
        """The file that says what was asked of it."""
        return self.folder.with_name(f"{self.folder.name}.json")

    @property
    def log(self) -> Path:
        """The file that has what the command printed."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def summary(self) -> Path:
        """The file that is there when the run has finished."""
        return self.folder / self.task.of_kind.summary

    def asked(self) -> dict[str, Any]:
        """Return all that decides about its result, as plain values."""
        task = self.task
        return {
            "kind": task.kind,
            "data": task.data,
            "options": dict(task.options),
            "recipe": task.recipe,
            "recipe_sha256": task.recipe_sha256,
            "settings": {key: value for key, value in task.settings.items() if key not in RESUMABLE},
            "checkpoint_sha256": self.checkpoint.sha256,
            "seed": self.seed,
        }

    def command(self, device: str) -> list[str]:
        """Return the command that runs it, on this device unless the task has one of its own; empty for any."""
        task, kind = self.task, self.task.of_kind
        first, *flags = kind.command
        words = [sys.executable, "-m", "in21k.train", first, task.data, *flags]
        words += ["--checkpoint", self.checkpoint.text, "--output", str(self.folder)]
        for key, value in task.options.items():
            words += [f"--{key.replace('_', '-')}", str(value)]
        if task.recipe:
            words += ["--recipe", task.recipe]
        if kind.is_seeded:
            words += ["--seed", str(self.seed)]
        if device and "run.device" not in task.settings:
            words += ["--device", device]
        for key, value in task.settings.items():
            words += ["--set", f"{key}={_toml(value)}"]
        return words + ["--resume"] * kind.resumes


def planned_runs(tasks: Sequence[Task], groups: Sequence[Group], output: Path) -> Iterator[PlannedRun]:
    """Yield all runs: seed by seed, so that a benchmark that is stopped has something on every task and checkpoint."""
    seeds = sorted({(at, seed) for task in tasks for at, seed in enumerate(task.seeds)})
    for at, seed in seeds:
        for task in tasks:
            if task.seeds[at : at + 1] != (seed,):
                continue
            for group in groups:
                for number, checkpoint in enumerate(group.checkpoints):
                    suffix = f"-seed-{seed}" if task.of_kind.is_seeded else ""
                    folder = output / RUNS / task.name / group.label / f"checkpoint-{number}{suffix}"
                    yield PlannedRun(task, group.label, number, checkpoint, seed, folder)


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
