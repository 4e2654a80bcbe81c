"""A run's folder: who may write into it, and where a resumed run goes on."""

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
    """Where a run begins."""

    checkpoint: Path | None
    """None for the beginning."""
    state: RunState | None
    """What the checkpoint says; None for the beginning."""

    @property
    def step(self) -> int:
        """Steps already done."""
        return self.state.step if self.state else 0

    @property
    def skipped(self) -> int:
        """Images already skipped."""
        return self.state.skipped if self.state else 0


def find_start(run: Path, config: Config, dataset: TrainingData, *, resume: bool) -> Start:
    """Return where a run in this folder begins; nothing is written.

    Args:
        run: the run's folder, which may be missing.
        config: the resolved configuration.
        dataset: what it trains on.
        resume: go on with the run that the folder holds, if it holds one.

    Raises:
        TrainError: the folder holds a run and `resume` is off, or that run had another configuration or dataset.
    """
    path = run / CONFIG
    if not path.exists():
        return Start(None, None)
    if not resume:
        raise TrainError(f"{run} already holds a run; pass --resume to go on with it, or name another --output")
    try:
        stored = json.loads(path.read_bytes())
        old, digest = config_from_dict(stored["config"]), stored["dataset"]["manifest_sha256"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainError(f"{path} is damaged ({error}); name another --output") from error
    if changed := differences(old, config):
        raise TrainError(f"{run} was begun with other settings and cannot be resumed with these: {'; '.join(changed)}")
    if digest != dataset.digest:
        raise TrainError(f"{run} was trained on another dataset than {dataset.name}; resume it with that one")
    checkpoint = latest_checkpoint(run)
    return Start(checkpoint, load_state(checkpoint) if checkpoint else None)


def log_skipped(run: Path, step: int, keys: Sequence[str]) -> None:
    """Append the keys of a step's images that do not decode, a line of step and key each; any process may."""
    with (run / SKIPPED).open("a", encoding="utf-8") as file:
        file.write("".join(f"{step},{key}\n" for key in keys))


def begin_run(run: Path, config: Config, dataset: TrainingData) -> None:
    """Create a run's folder, with the configuration in it and the classes, so that the model serves without its data.

    Raises:
        DatasetError: it cannot be written.
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
