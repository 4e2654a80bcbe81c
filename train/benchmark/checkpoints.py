"""The checkpoints of a benchmark: one to a label, or several that were pretrained alike with different seeds."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from in21k.shards_manifest.errors import errors_naming, one_line
from in21k.train.benchmark.tasks_file import NAME
from in21k.train.errors import TrainError
from in21k.train.model.architectures import TIMM_PREFIX
from in21k.train.model.timm_names import require_architecture
from in21k.train.run.checkpoint import find_model

_OTHERWISE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Checkpoint:
    """Weights to start from."""

    text: str
    """As it was given: a run's folder, a checkpoint's, a model file, or timm:NAME."""
    sha256: str
    """Of the model file; of timm's weights, of their name alone."""


@dataclass(frozen=True)
class Group:
    """A row of the table: one checkpoint, or several whose scores are averaged."""

    label: str
    checkpoints: tuple[Checkpoint, ...]


def read_groups(texts: Sequence[str]) -> list[Group]:
    """Return the checkpoints that a command names, each as PATH, LABEL=PATH or LABEL=PATH,PATH,….

    A path without a label has its last part for one.

    Raises:
        TrainError: there is no checkpoint at a path, a label is no name, or two are the same.
        DatasetError: a checkpoint cannot be read.
    """
    groups: list[Group] = []
    for text in texts:
        label, paths = _split(text)
        if label in {group.label for group in groups}:
            raise TrainError(f"{one_line(text)}: the label {label} is taken; give another, as in NAME={paths[0]}")
        if len(set(paths)) < len(paths):
            raise TrainError(f"{one_line(text)}: a checkpoint is there twice; name each once")
        groups.append(Group(label, tuple(_checkpoint(path) for path in paths)))
    return groups


def _split(text: str) -> tuple[str, list[str]]:
    """Return the label and the paths that a text names."""
    label, equals, rest = text.partition("=")
    if not equals or "/" in label:
        name = Path(text.removeprefix(TIMM_PREFIX)).resolve().name
        return (_OTHERWISE.sub("-", name).strip("-._") or "checkpoint")[:64], [text]
    paths = rest.split(",")
    if not NAME.fullmatch(label):
        raise TrainError(f"{one_line(text)}: a label has letters, digits, '.', '_' and '-' only, 64 at most")
    if not all(paths):
        raise TrainError(f"{one_line(text)}: a path is empty; give NAME=PATH or NAME=PATH,PATH")
    return label, paths


def _checkpoint(text: str) -> Checkpoint:
    if text.startswith(TIMM_PREFIX):
        require_architecture(text.removeprefix(TIMM_PREFIX), TIMM_PREFIX)
        return Checkpoint(text, hashlib.sha256(text.encode()).hexdigest())
    path = find_model(Path(text))
    with errors_naming(str(path)), path.open("rb") as file:
        return Checkpoint(text, hashlib.file_digest(file, "sha256").hexdigest())
