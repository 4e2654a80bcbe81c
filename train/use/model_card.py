"""The model card of an exported model: what it is, what it was trained on and how, and what it scored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm

from in21k.train.config.overrides import flatten
from in21k.train.model.model_file import MODEL, ModelMetadata
from in21k.train.run.folder import CONFIG, SUMMARY
from in21k.train.use.trained_model import TrainedModel

_PAGE = """---
library_name: timm
pipeline_tag: image-classification
tags:
- timm
- in21k
---

# {name}, {classes:,} classes

Trained with in21k for {steps:,} steps (scheme {scheme}) on images of {size} × {size} pixels, in {classes:,} classes of
{kind}.

## Use

```python
import timm
model = timm.create_model("local-dir:FOLDER", pretrained=True)
model = timm.create_model("{architecture}", checkpoint_path="FOLDER/{weights}", num_classes={classes}{more})
```

The logits are in the order of `label_names` in `config.json`; `hierarchy.parquet` has each class's parent and level.
With a semantic scheme the classes of a level share one softmax.

## Inputs

RGB images, squished to {size} × {size} pixels (bicubic), with values of 0 to 1, less the mean {mean},
over the standard deviation {std}.

## Data

{data}

## Results on the validation images

{metrics}

## Recipe

{recipe}
"""

_ABOVE = 3
"""Folders above a file of weights that may be the run's."""


@dataclass(frozen=True)
class RunFacts:
    """What the run of a checkpoint says of it."""

    dataset: Mapping[str, str] = field(default_factory=dict)
    """Path and digests of the data; empty where the run's folder is not there."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """The summary's figures for the val split; empty for a checkpoint that is not the run's last."""


def read_facts(weights: Path, card: ModelMetadata) -> RunFacts:
    """Return what the folder of the run says of a file of weights; nothing where it lies elsewhere."""
    for folder in weights.absolute().parents[:_ABOVE]:
        stored = _json(folder / CONFIG)
        if isinstance(stored.get("dataset"), dict):
            summary = _json(folder / SUMMARY)
            is_last = summary.get("steps", 0) == card.step
            metrics = {key: value for key, value in summary.items() if key.startswith(("val_", "majority_"))}
            return RunFacts(stored["dataset"], metrics if is_last else {})
    return RunFacts()


def model_page(model: TrainedModel, facts: RunFacts) -> str:
    """Return the model card, in Markdown with the header that hubs read."""
    card, levels = model.card, model.classes.hierarchy.num_levels
    architecture = card.model.partition(".")[0]
    fixed = timm.models.get_pretrained_cfg_value(card.model, "fixed_input_size")
    return _PAGE.format(
        name=card.model,
        architecture=architecture,
        weights=MODEL,
        classes=card.num_classes,
        kind="one level" if levels == 1 else f"{levels} levels",
        steps=card.step,
        scheme=card.config.loss.scheme,
        size=card.image_size,
        mean=list(model.network.normalization.mean),
        std=list(model.network.normalization.std),
        more=f", img_size={card.image_size}" if fixed else "",
        data="\n".join(_table("data", _data(card, facts))),
        metrics="\n".join(_metrics(facts)),
        recipe="\n".join(_table("setting", flatten(card.config.to_dict()))),
    )


def _data(card: ModelMetadata, facts: RunFacts) -> dict[str, Any]:
    known = {"path": facts.dataset.get("path"), "SHA-256 of the manifest": facts.dataset.get("manifest_sha256")}
    return {**{key: value for key, value in known.items() if value}, "SHA-256 of the classes": card.class_list_sha256}


def _metrics(facts: RunFacts) -> list[str]:
    if not facts.metrics:
        return ["Not at hand: the checkpoint is not the last of its run, or was exported without the run's folder."]
    return _table("measure", flatten(facts.metrics))


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
