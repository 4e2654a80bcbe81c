"""Checkpoints: a folder a step, written whole or not at all, without pickle.

RUN/checkpoints/step-00001234/model.safetensors      weights, classes in class order; what they are, in its metadata
                              ema.safetensors        the same of the weights' average, where the run keeps one
                              optimizer.safetensors  `parameter/state` tensors
                              state.json             position, configuration, loss scale; written last
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.local_files import TEMPORARY_PREFIX
from in21k.train.config.overrides import config_from_dict
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError
from in21k.train.model.model_file import MODEL, ModelMetadata, on_cpu, safetensors_metadata
from in21k.train.model.weights import Weights

FORMAT_VERSION = 1
FOLDER = "checkpoints"
AVERAGE = "ema.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"


@dataclass(frozen=True)
class RunState:
    """Where a run stands."""

    step: int
    """Steps done."""
    epoch: int
    """Whole epochs done."""
    samples: int
    """Places of training batches filled so far, over all processes."""
    skipped: int
    """Images among them that did not decode."""
    dataset_sha256: str
    """Of the dataset's manifest."""
    config: Config
    scaler: Mapping[str, Any]
    """State of the loss scale; empty where there is none."""
    groups: tuple[Mapping[str, Any], ...]
    """Hyperparameters of the optimizer's parameter groups."""
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Tensors:
    """The tensors of a checkpoint."""

    weights: Weights
    optimizer: Weights
    average: Weights | None
    """The weights' moving average; None where the run keeps none."""


def save_checkpoint(run: Path, card: ModelMetadata, state: RunState, tensors: Tensors, keep: int) -> Path:
    """Write a checkpoint, then delete all but the newest `keep`; return its folder.

    Raises:
        TrainError: the disk is full or refuses the write.
    """
    folder = run / FOLDER
    target = folder / f"step-{state.step:08d}"
    temporary = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{target.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{TEMPORARY_PREFIX}*"):
            shutil.rmtree(left)  # a killed process of this run left it
        temporary.mkdir()
        save_file(on_cpu(tensors.weights), temporary / MODEL, safetensors_metadata(card))
        if tensors.average is not None:
            save_file(on_cpu(tensors.average), temporary / AVERAGE, safetensors_metadata(card))
        save_file(on_cpu(tensors.optimizer), temporary / OPTIMIZER)
        (temporary / STATE).write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        _sync(folder)
        for old in _checkpoints(run)[:-keep]:
            shutil.rmtree(old)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise TrainError(f"{target} cannot be written: {one_line(error)}") from error
    return target


def latest_checkpoint(run: Path) -> Path | None:
    """Return the folder of a run's newest checkpoint, None where it has none."""
    return found[-1] if (found := _checkpoints(run)) else None


def load_state(checkpoint: Path) -> RunState:
    """Return where the run of a checkpoint stood.

    Raises:
        TrainError: it is damaged or of a newer version.
    """
    path = checkpoint / STATE
    try:
        values = json.loads(path.read_bytes())
        if values["format_version"] > FORMAT_VERSION:
            raise TrainError(f"{path} is of format {values['format_version']}, newer than this in21k; upgrade it")
        values["config"] = config_from_dict(values["config"])
        values["groups"] = tuple(values["groups"])
        return RunState(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}; name an older checkpoint") from error


def find_model(path: Path, *, raw: bool = False) -> Path:
    """Return the file of weights that a run folder, a checkpoint's folder or the file itself names.

    Args:
        path: where to look.
        raw: take the weights themselves where their average is there, too.

    Raises:
        TrainError: there is none.
    """
    newest = latest_checkpoint(path)
    names = (MODEL,) if raw else (AVERAGE, MODEL)
    folders = (path, *([newest] if newest else []))
    for candidate in (path, *(folder / name for folder in folders for name in names)):
        if candidate.is_file():
            return candidate
    raise TrainError(f"{path}: no checkpoint there; name a run's folder, one of its checkpoints or a {MODEL}")


def _checkpoints(run: Path) -> list[Path]:
    return sorted(path for path in (run / FOLDER).glob("step-*") if path.name[5:].isdigit() and path.is_dir())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
