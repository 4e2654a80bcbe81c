"""Checkpoints: a folder per saved step, written whole or not at all, without pickle.

RUN/checkpoints/step-00001234/model.safetensors      model file: weights, classes in class order, and metadata
                              ema.safetensors        model file of the EMA, if the run keeps one
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
from typing import Any, NamedTuple

from safetensors import SafetensorError

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.local_files import TEMPORARY_PREFIX
from in21k.train.config.records import Record, read_record
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError, no_checkpoint
from in21k.train.model.model_file import MODEL, ModelMetadata, check_tensors, write_tensors
from in21k.train.model.weights import Weights, host_copies

FORMAT_VERSION = 1
FOLDER = "checkpoints"
EMA = "ema.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"


@dataclass(frozen=True)
class RunState:
    """The state of a run at a checkpoint, but for its tensors."""

    step: int
    """Steps done."""
    epoch: int
    """Whole epochs done."""
    samples: int
    """Positions of training batches filled so far, over all ranks."""
    skipped: int
    """Images among them that did not decode."""
    dataset_sha256: str
    """SHA-256 of the dataset's manifest."""
    config: Config
    scaler: Mapping[str, Any]
    """State of the loss scaler; empty without one."""
    groups: tuple[Mapping[str, Any], ...]
    """Hyperparameters of the optimizer's parameter groups."""
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Tensors:
    """The tensors of a checkpoint."""

    weights: Weights
    optimizer: Weights
    ema: Weights | None
    """None if the run keeps no EMA."""


class Snapshot(NamedTuple):
    """A checkpoint in memory: copies on the host, which training does not change."""

    metadata: ModelMetadata
    state: RunState
    tensors: Tensors


def snapshot(metadata: ModelMetadata, state: RunState, tensors: Tensors) -> Snapshot:
    """Return a checkpoint with copies of the tensors; this waits for the device."""
    ema = host_copies(tensors.ema) if tensors.ema is not None else None
    return Snapshot(metadata, state, Tensors(host_copies(tensors.weights), host_copies(tensors.optimizer), ema))


def save_checkpoint(run: Path, metadata: ModelMetadata, state: RunState, tensors: Tensors, keep: int) -> Path:
    """Write a checkpoint, delete all but the newest `keep`, and return its folder.

    The tensors are contiguous, on the CPU, and none shares its memory with another.

    Raises:
        TrainError: the checkpoint cannot be written.
    """
    folder = run / FOLDER
    target = folder / f"step-{state.step:08d}"
    temporary = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{target.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{TEMPORARY_PREFIX}*"):
            shutil.rmtree(left)  # a killed process of this run left it
        temporary.mkdir()
        _write(temporary, metadata, state, tensors)
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


def _write(folder: Path, metadata: ModelMetadata, state: RunState, tensors: Tensors) -> None:
    """Write a checkpoint's files into a new folder, and wait until they are on the disk."""
    write_tensors(folder / MODEL, tensors.weights, metadata)
    if tensors.ema is not None:
        write_tensors(folder / EMA, tensors.ema, metadata)
    write_tensors(folder / OPTIMIZER, tensors.optimizer)
    (folder / STATE).write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        _sync(path)


def latest_checkpoint(run: Path) -> Path | None:
    """Return the folder of a run's newest checkpoint, None if there is none."""
    return found[-1] if (found := _checkpoints(run)) else None


def newest_usable(run: Path) -> tuple[Path, RunState, tuple[str, ...]] | None:
    """Return a run's newest readable checkpoint, its state, and what is wrong with newer ones; None without any.

    Raises:
        TrainError: there are checkpoints, and none can be read.
    """
    wrong: list[TrainError] = []
    for checkpoint in reversed(_checkpoints(run)):
        try:
            return checkpoint, _usable_state(checkpoint), tuple(map(str, wrong))
        except TrainError as error:
            wrong.append(error)
    if wrong:
        raise wrong[0]
    return None


def _usable_state(checkpoint: Path) -> RunState:
    state = load_state(checkpoint)
    for name in (MODEL, OPTIMIZER, *([EMA] if state.config.optim.ema_decay else [])):
        check_tensors(checkpoint / name)
    return state


def load_state(checkpoint: Path) -> RunState:
    """Return the state of the run at a checkpoint.

    Raises:
        TrainError: the state is damaged, or was written by a newer version.
    """
    path = checkpoint / STATE
    try:
        return _state_of(read_record(path))
    except (OSError, ValueError) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error


def _state_of(record: Record) -> RunState:
    version = record.whole("format_version")
    if version > FORMAT_VERSION:
        raise ValueError(f"it has format {version}, newer than this in21k; upgrade in21k")
    return RunState(
        step=record.whole("step"),
        epoch=record.whole("epoch"),
        samples=record.whole("samples"),
        skipped=record.whole("skipped"),
        dataset_sha256=record.text("dataset_sha256"),
        config=record.section("config").config(),
        scaler=record.section("scaler").numbers(),
        groups=tuple(group.numbers() for group in record.sections("groups")),
        format_version=version,
    )


def find_model(path: Path, *, raw: bool = False) -> Path:
    """Return the model file that a run's folder, a checkpoint's folder or the path of the file itself stands for.

    Args:
        path: where to look.
        raw: prefer the weights themselves to their EMA.

    Raises:
        TrainError: there is no model file.
    """
    if path.suffix.lower() == ".onnx":
        raise TrainError(f"{path} is a graph, which only predict takes; name the run or model.safetensors it came from")
    newest = latest_checkpoint(path)
    names = (MODEL,) if raw else (EMA, MODEL)
    folders = (path, *([newest] if newest else []))
    for candidate in (path, *(folder / name for folder in folders for name in names)):
        if candidate.is_file():
            return candidate
    if _is_knn(path):
        raise TrainError(f"{path} is a run of k-NN, which keeps no model; transfer --probe makes one")
    raise no_checkpoint(path)


def _is_knn(run: Path) -> bool:
    """Return whether a folder is a finished run of k-NN."""
    try:
        return read_record(run / "summary.json").text("scheme") == "k-nn"
    except (OSError, ValueError):
        return False


def _checkpoints(run: Path) -> list[Path]:
    return sorted(path for path in (run / FOLDER).glob("step-*") if path.name[5:].isdigit() and path.is_dir())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
