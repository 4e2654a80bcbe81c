"""A run's folder: whether a run may use it, and from which step a resumed run continues."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from in21k.shards_manifest.errors import escaped, one_line
from in21k.shards_manifest.manifest import HIERARCHY
from in21k.shards_manifest.markers import CONFIG, FolderKind, require_place_for
from in21k.shards_manifest.prediction_tables import PER_CLASS, VAL_PREDICTIONS
from in21k.shards_manifest.storage.local_files import atomic_path, write_atomic
from in21k.shards_manifest.storage.location import locate
from in21k.train.config.overrides import differences
from in21k.train.config.records import read_record
from in21k.train.config.settings import Config
from in21k.train.data.held_out import TrainedOn, share_held_out
from in21k.train.data.interfaces import TrainingData
from in21k.train.errors import TrainError
from in21k.train.model.model_file import MODEL
from in21k.train.recipes.choice import Choice
from in21k.train.run.checkpoint import FOLDER, RunState, latest_checkpoint, newest_usable
from in21k.train.run.lock import LOCK, RunLock
from in21k.tree.table import write_table

SUMMARY = "summary.json"
METRICS = "metrics.csv"
TENSORBOARD = "tensorboard"
SKIPPED = "skipped.csv"
VAL_CLASSES = "val_classes.csv"

_DEEPEST_MODEL = 3
"""Folders between a run's and its model files, and the run's: RUN/checkpoints/STEP/model.safetensors."""

_START_OF_CURVES = 1 << 16
"""Bytes: more than the header of the curves."""


@dataclass(frozen=True)
class Start:
    """Where a run starts."""

    checkpoint: Path | None
    """The checkpoint to resume; None for a new run."""
    state: RunState | None
    """The checkpoint's state; None for a new run."""
    unusable: tuple[str, ...] = ()
    """What is wrong with newer checkpoints, which are not resumed for that; a line for each."""

    @property
    def step(self) -> int:
        """Steps already done."""
        return self.state.step if self.state else 0

    @property
    def skipped(self) -> int:
        """Images already skipped."""
        return self.state.skipped if self.state else 0


def find_start(run: Path, config: Config, dataset: TrainingData, *, resume: bool | None) -> Start:
    """Return where a run in this folder starts; nothing is written.

    Args:
        run: the run's folder, which may be missing.
        config: the resolved configuration.
        dataset: to train on.
        resume: continue the run in the folder, if there is one; None for what cannot be continued.

    A start that failed, or was killed before its first step was logged, is no run: it is started anew.

    Raises:
        DatasetError: the folder holds what another command wrote.
        TrainError: the folder holds a run and `resume` is off, its configuration or dataset differs, or none of its
            checkpoints can be read.
    """
    if not (resume and is_begun(run)):
        require_new(run, can_resume=resume is not None)
        return Start(None, None)
    require_place_for(locate(run), FolderKind.RUN, option="--output")
    old, digest = read_config(run / CONFIG)
    if changed := differences(old, config):
        raise TrainError(
            f"{run} was started with other settings and cannot be resumed with these: {'; '.join(changed)}"
        )
    if digest != dataset.digest:
        raise TrainError(f"{run} was trained on another dataset than {dataset.name}; resume it with its own")
    usable = newest_usable(run)
    if not usable and (run / MODEL).exists():
        raise TrainError(f"{run} holds a linear probe, which cannot be resumed; give another --output")
    if not usable and (run / SUMMARY).exists():
        raise TrainError(f"{run} holds {SUMMARY} and no checkpoint, so it cannot be resumed; give another --output")
    return Start(*usable) if usable else Start(None, None)


def require_new(run: Path, *, can_resume: bool = True) -> None:
    """Refuse a folder in which no new run can begin; nothing is written.

    Args:
        run: the run's folder, which may be missing.
        can_resume: whether `--resume` continues such runs.

    Raises:
        DatasetError: the folder holds what another command wrote.
        TrainError: the folder holds a run.
    """
    require_place_for(locate(run), FolderKind.RUN, option="--output")
    if not (run / CONFIG).exists():
        _require_no_other_files(run)
    elif is_begun(run):
        way_on = "pass --resume to continue it, or " if can_resume else ""
        raise TrainError(f"{run} already holds a run; {way_on}give another --output")


def read_config(path: Path) -> tuple[Config, str]:
    """Return the configuration in a run's config.json, and the digest of its dataset.

    Raises:
        TrainError: the file is damaged.
    """
    try:
        stored = read_record(path)
        return stored.section("config").config(), stored.section("dataset").text("manifest_sha256")
    except (OSError, ValueError) as error:
        raise TrainError(f"{path} is damaged ({one_line(error)}); give another --output") from error


def trained_on(checkpoint: Path) -> TrainedOn | None:
    """Return what the run of a checkpoint says of its data; None where the checkpoint lies in no run's folder.

    Args:
        checkpoint: a run's folder, a checkpoint's folder or a model file.
    """
    for run in (checkpoint, *checkpoint.absolute().parents[:_DEEPEST_MODEL]):
        try:
            stored = read_record(run / CONFIG)
            data, config = stored.section("dataset").values, stored.section("config").config()
            return TrainedOn(
                run=run,
                path=str(data["path"]),
                digest=str(data["manifest_sha256"]),
                class_list_sha256=str(data["class_list_sha256"]),
                fraction=config.data.fraction,
                val_share=float(data.get("val_share", 0)),
            )
        except (OSError, ValueError, KeyError):  # an exported model's is timm's
            continue
    return None


def _require_no_other_files(run: Path) -> None:
    """Refuse a folder in which no run has begun and which has a file that a run would overwrite."""
    if (run / LOCK).exists():
        return
    ours = (HIERARCHY, SUMMARY, METRICS, SKIPPED, VAL_CLASSES, VAL_PREDICTIONS, PER_CLASS, TENSORBOARD, FOLDER, MODEL)
    for name in ours:
        if os.path.lexists(run / name):
            raise TrainError(f"{run} holds {name} and no run; give an empty folder or a new one as --output")


def is_begun(run: Path) -> bool:
    """Return whether a folder holds a run with anything to lose: a checkpoint, a summary, or a row of its curves."""
    if not (run / CONFIG).exists():
        return False
    if latest_checkpoint(run) is not None or (run / SUMMARY).exists():
        return True
    try:
        with (run / METRICS).open("rb") as file:
            return len(file.read(_START_OF_CURVES).splitlines()) > 1
    except OSError:
        return False


def log_skipped(run: Path, step: int, keys: Sequence[str], split: str = "train") -> None:
    """Append images that do not decode, a line of step, key and split for each; any rank may call it.

    Args:
        run: the run's folder.
        step: at which they were met.
        keys: theirs.
        split: train or val; each val pass meets the same images, which are listed once.
    """
    path, ends = run / SKIPPED, [f",{escaped(key)},{split}\n" for key in keys]
    if split == "val" and ends and path.exists():
        with path.open(encoding="utf-8") as file:
            known = {line[line.find(",") :] for line in file}
        ends = [end for end in ends if end not in known]
    if ends:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{step}{end}" for end in ends))


def begin_run(
    run: Path,
    start: Start,
    config: Config,
    dataset: TrainingData,
    lock: RunLock,
    *,
    resume: bool | None,
    asked: Config | Choice | None = None,
) -> None:
    """Lock a run's folder, and write its configuration and the hierarchy, which makes the model usable without data.

    Args:
        run: the run's folder, created if it is missing.
        start: where the run starts, as `find_start` said before the lock was ours.
        config: the resolved configuration.
        dataset: to train on.
        lock: the folder's, which stays locked.
        resume: as for `find_start`.
        asked: of which a recipe, and the values that replaced its own, are recorded.

    Raises:
        TrainError: another run writes to the folder, or wrote to it since `start` was found.
        DatasetError: the folder cannot be written.
    """
    if lock.take() and find_start(run, config, dataset, resume=resume) != start:
        raise TrainError(f"{run}: another run wrote to it in the meantime; start again")
    with atomic_path(run / HIERARCHY) as temporary:
        write_table(dataset.hierarchy_table(), temporary)
    record = {
        "config": config.to_dict(),
        "dataset": {
            "path": dataset.name,
            "manifest_sha256": dataset.digest,
            "class_list_sha256": dataset.class_list_sha256,
            "val_share": share_held_out(dataset),
        },
        **(asked.record(config) if isinstance(asked, Choice) else {}),
    }
    write_atomic(run / CONFIG, json.dumps(record, indent=1).encode() + b"\n")
