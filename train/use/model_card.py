"""The model card of an exported model: what it is, its training data, its scores and its recipe."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm

from in21k.shards_manifest.markers import CONFIG
from in21k.train.config.overrides import flatten
from in21k.train.model.model_file import MODEL, ModelMetadata
from in21k.train.run.folder import SUMMARY
from in21k.train.use.trained_model import TrainedModel

_CARD = """---
library_name: timm
pipeline_tag: image-classification
tags:
- timm
- in21k
---

# {name}, {classes:,} classes

Trained with in21k for {steps:,} steps (scheme {scheme}) on images of {size} × {size} pixels; its {classes:,}
classes have {kind}.

## Use

```python
import timm
model = timm.create_model("local-dir:FOLDER", pretrained=True)
model = timm.create_model("{architecture}", checkpoint_path="FOLDER/{weights}", num_classes={classes}{more})
```

The logits are in the order of `label_names` in `config.json`; `hierarchy.parquet` has each class's parent and level.
With a semantic scheme the classes of a level share one softmax.

## Inputs

RGB images, resized to {size} × {size} pixels without regard to their aspect ratio ({interpolation}), values from 0 to
1, minus the mean {mean}, divided by the standard deviation {std}.

## Data

{data}

## Results on the val split

{metrics}

## Recipe

{recipe}
"""

_ABOVE = 3
"""How many folders above a model file may be the run's."""


@dataclass(frozen=True)
class RunFacts:
    """What a run's folder says about one of its models."""

    dataset: Mapping[str, str] = field(default_factory=dict)
    """Path and digests of the data; empty without the run's folder."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """The summary's figures for the val split; empty unless the checkpoint is the run's last."""


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


def model_card(model: TrainedModel, facts: RunFacts) -> str:
    """Return the model card, in Markdown with the header that hubs read."""
    metadata, levels = model.metadata, model.classes.hierarchy.num_levels
    architecture = metadata.model.partition(".")[0]
    fixed = timm.models.get_pretrained_cfg_value(metadata.model, "fixed_input_size")
    return _CARD.format(
        name=metadata.model,
        architecture=architecture,
        weights=MODEL,
        classes=metadata.num_classes,
        kind="one level" if levels == 1 else f"{levels} levels",
        steps=metadata.step,
        scheme=metadata.config.loss.scheme,
        size=metadata.image_size,
        interpolation=metadata.config.data.interpolation,
        mean=list(model.network.normalization.mean),
        std=list(model.network.normalization.std),
        more=f", img_size={metadata.image_size}" if fixed else "",
        data="\n".join(_table("data", _data(metadata, facts))),
        metrics="\n".join(_metrics(facts)),
        recipe="\n".join(_table("setting", flatten(metadata.config.to_dict()))),
    )


def _data(metadata: ModelMetadata, facts: RunFacts) -> dict[str, Any]:
    known = {"path": facts.dataset.get("path"), "SHA-256 of the manifest": facts.dataset.get("manifest_sha256")}
    return {
        **{key: value for key, value in known.items() if value},
        "SHA-256 of the classes": metadata.class_list_sha256,
    }


def _metrics(facts: RunFacts) -> list[str]:
    if not facts.metrics:
        return ["Not available: the checkpoint is not the last of its run, or was exported without the run's folder."]
    return _table("metric", flatten(facts.metrics))


def _table(head: str, rows: Mapping[str, Any]) -> list[str]:
    lines = [f"| {key} | {_cell(value)} |" for key, value in rows.items()]
    return [f"| {head} | value |", "|---|---|", *lines]


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}
