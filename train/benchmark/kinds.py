"""The kinds of downstream tasks: the command of each, what its summary says, and where it says it of every image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from in21k.shards_manifest.markers import RETRIEVAL
from in21k.train.benchmark.outcomes import Outcomes, nothing, predicted, retrieved
from in21k.train.retrieval.scores import KS
from in21k.train.run.folder import SUMMARY

DATA_KEYS = ("layout", "val_share", "annotations", "val", "images")
"""Keys of a task that are options of every command that reads labeled images."""

PATH_KEYS = ("annotations", "val", "images")
"""Those that are paths."""


@dataclass(frozen=True)
class Kind:
    """A kind of task."""

    command: tuple[str, ...]
    """The command of in21k-train, with the options that make it this kind."""
    metrics: Mapping[str, str]
    """Scores by their key in the summary, each with its name in a table; a task is judged by the first that is there.
    All are shares, from 0 to 1."""
    outcomes: Callable[[Path, str], Outcomes | None]
    """Returns what a run says of each image for a metric; None where it says nothing."""
    keys: tuple[str, ...] = DATA_KEYS
    """Keys of a task that become options of the command."""
    required: tuple[str, ...] = ()
    """Those that have to be given."""
    settings: Mapping[str, bool] = field(default_factory=dict)
    """Settings that every task of this kind has, unless it has others."""
    summary: str = SUMMARY
    """The file in the run's folder that is written last."""
    takes_recipe: bool = False
    takes_settings: bool = True
    is_seeded: bool = False
    """Whether the result depends on a seed."""
    resumes: bool = False
    """Whether the command continues what it began, with --resume."""


_CLASSES = {"val_top1": "top-1", "val_top5": "top-5", "val_map": "mAP", "val_map_micro": "micro mAP"}
_SAVED = {"run.save_predictions": True}

KINDS: Mapping[str, Kind] = {
    "probe": Kind(("transfer", "--probe"), _CLASSES, predicted, settings=_SAVED),
    "fine-tune": Kind(
        ("transfer",), _CLASSES, predicted, settings=_SAVED, takes_recipe=True, is_seeded=True, resumes=True
    ),
    "knn": Kind(
        ("transfer",),
        _CLASSES,
        predicted,
        keys=(*DATA_KEYS, "knn", "temperature"),
        required=("knn",),
        settings=_SAVED,
    ),
    "video": Kind(
        ("transfer", "--layout", "video"),
        {key: _CLASSES[key] for key in ("val_top1", "val_top5")},
        predicted,
        keys=("val_share", "val", "images", "clips"),
        settings=_SAVED,
        takes_recipe=True,
        is_seeded=True,
        resumes=True,
    ),
    "detection": Kind(
        ("transfer", "--task", "detection"),
        {"val_map": "AP", "val_map50": "AP50", "val_map75": "AP75"},
        nothing,
        keys=("val_share", "annotations", "val"),
        takes_recipe=True,
        is_seeded=True,
        resumes=True,
    ),
    "retrieve": Kind(
        ("retrieve", "--sheet", "0"),
        {"map": "mAP", **{f"recall_at_{k}": f"recall@{k}" for k in KS}},
        retrieved,
        keys=(*DATA_KEYS, "relevance", "gallery", "sheet", "image_size", "batch_size"),
        summary=RETRIEVAL,
        takes_settings=False,
        resumes=True,
    ),
}
"""By the name that a task's `kind` gives."""
