"""A run's folder: whether a run may use it, and from which step a resumed run continues."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from in21k.shards_manifest.manifest import HIERARCHY
from in21k.shards_manifest.storage.local_files import atomic_path, make_folder, write_atomic
from in21k.train.config.overrides import config_from_dict, differences
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.errors import TrainError
from in21k.train.run.checkpoint import RunState, latest_checkpoint, load_state
from in21k.tree.table import write_table

CONFIG = "config.json"
SUMMARY = "summary.json"
METRICS = "metrics.csv"
TENSORBOARD = "tensorboard"
SKIPPED = "skipped.csv"


@dataclass(frozen=True)
class Start:
    """Where a run starts."""

    checkpoint: Path | None
    """The checkpoint to resume; None for a new run."""
    state: RunState | None
    """The checkpoint's state; None for a new run."""

    @property
    def step(self) -> int:
        """Steps already done."""
        return self.state.step if self.state else 0

    @property
    def skipped(self) -> int:
        """Images already skipped."""
        return self.state.skipped if self.state else 0


def find_start(run: Path, config: Config, dataset: TrainingData, *, resume: bool) -> Start:
    """Return where a run in this folder starts; nothing is written.

    Args:
        run: the run's folder, which may be missing.
        config: the resolved configuration.
        dataset: to train on.
        resume: continue the run in the folder, if there is one.

    Raises:
        TrainError: the folder holds a run and `resume` is off, or its configuration or dataset differs.
    """
    path = run / CONFIG
    if not path.exists():
        return Start(None, None)
    if not resume:
        raise TrainError(f"{run} already holds a run; pass --resume to continue it, or give another --output")
    try:
        stored = json.loads(path.read_bytes())
        old, digest = config_from_dict(stored["config"]), stored["dataset"]["manifest_sha256"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainError(f"{path} is damaged ({error}); give another --output") from error
    if changed := differences(old, config):
        raise TrainError(
            f"{run} was started with other settings and cannot be resumed with these: {'; '.join(changed)}"
        )
    if digest != dataset.digest:
        raise TrainError(f"{run} was trained on another dataset than {dataset.name}; resume it with its own")
    checkpoint = latest_checkpoint(run)
    return Start(checkpoint, load_state(checkpoint) if checkpoint else None)


def log_skipped(run: Path, step: int, keys: Sequence[str]) -> None:
    """Append the keys of a step's images that do not decode, a line of step and key for each; any rank may call it."""
    with (run / SKIPPED).open("a", encoding="utf-8") as file:
        file.write("".join(f"{step},{key}\n" for key in keys))


def begin_run(run: Path, config: Config, dataset: TrainingData) -> None:
    """Create a run's folder with its configuration, and the hierarchy table, which makes the model usable without data.

    Raises:
        DatasetError: the folder cannot be written.
    """
    make_folder(run)
    with atomic_path(run / HIERARCHY) as temporary:
        write_table(dataset.hierarchy_table(), temporary)
    record = {
        "config": config.to_dict(),
        "dataset": {
            "path": dataset.name,
            "manifest_sha256": dataset.digest,
            "class_list_sha256": dataset.class_list_sha256,
        },
    }
    write_atomic(run / CONFIG, json.dumps(record, indent=1).encode() + b"\n")
