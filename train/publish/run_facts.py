"""What a run's folder says about one of its models: the data it learned from, and its scores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from in21k.shards_manifest.errors import without_secrets
from in21k.shards_manifest.markers import CONFIG
from in21k.train.model.model_file import ModelMetadata
from in21k.train.run.folder import SUMMARY

_ABOVE = 3
"""How many folders above a model file may be the run's."""


@dataclass(frozen=True)
class RunFacts:
    """What a run's folder says about one of its models."""

    dataset: Mapping[str, str] = field(default_factory=dict)
    """Path and digests of the data; empty without the run's folder."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """The summary's figures for the val split; empty unless the checkpoint is the run's last."""

    @property
    def data_name(self) -> str:
        """The last part of the data's path, since the rest is of this machine alone; empty if it is unknown."""
        return PurePosixPath(without_secrets(self.dataset.get("path", "")).partition("?")[0]).name


def read_run_facts(weights: Path, metadata: ModelMetadata) -> RunFacts:
    """Return what the folder of the run says about a model file; nothing if the file is elsewhere."""
    for folder in weights.absolute().parents[:_ABOVE]:
        stored = _json(folder / CONFIG)
        if isinstance(stored.get("dataset"), dict):
            summary = _json(folder / SUMMARY)
            is_last = summary.get("steps", 0) == metadata.step
            metrics = {key: value for key, value in summary.items() if key.startswith(("val_", "majority_"))}
            return RunFacts(stored["dataset"], metrics if is_last else {})
    return RunFacts()


def _json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}
