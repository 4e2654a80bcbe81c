"""The model card of an exported model: what it is, how to use it, its training data, its scores and its recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm

from in21k.train.config.overrides import flatten
from in21k.train.config.settings import ModelConfig
from in21k.train.model.model_file import MODEL, ModelMetadata
from in21k.train.model.timm_names import OFA
from in21k.train.publish.card_metadata import (
    IMAGENET,
    UNKNOWN,
    License,
    card_header,
    default_license,
    hub_base,
)
from in21k.train.publish.class_files import IMAGENET1K_MAP, imagenet1k_indices
from in21k.train.publish.run_facts import RunFacts
from in21k.train.run.checkpoint import FOLDER
from in21k.train.use.onnx_network import ONNX
from in21k.train.use.trained_model import TrainedModel

_CARD = """---
{header}
---

# {name}, {classes:,} classes

Trained with in21k for {steps:,} steps (scheme {scheme}) on images of {size} × {size} pixels; its {classes:,}
classes have {kind}.{base}

## Use

```python
import timm
{ours}model = timm.create_model("{place}", pretrained=True)
model = timm.create_model("{place}", pretrained=True, num_classes=0)  # one vector of features per image
model = timm.create_model("{place}", pretrained=True, features_only=True)  # feature maps, where timm has them
model = timm.create_model("{architecture}", checkpoint_path="FOLDER/{weights}", num_classes={classes}{more})
```
{onnx}
The logits are in the order of `label_names` in `config.json`; `hierarchy.parquet` has each class's parent and level,
and `classes.txt` a line per class: its label, a tab, and its words. With a semantic scheme the classes of a level share
one softmax.

## Inputs

RGB images, resized to {size} × {size} pixels without regard to their aspect ratio ({interpolation}), values from 0
to 1, minus the mean {mean}, divided by the standard deviation {std}.
{imagenet1k}
## License

{license}

## Data

{data}

## Results on the val split

{metrics}

## Recipe

{recipe}
"""

_ONNX = """
```python
import onnxruntime
session = onnxruntime.InferenceSession("FOLDER/{file}")
[logits] = session.run(["logits"], {{"images": images}})  # images: float32 [N, 3, {size}, {size}], as under Inputs
```

`in21k-train predict IMAGE --checkpoint FOLDER/{file}` names what images show.
"""

_IMAGENET1K = """
## ImageNet-1K

`{file}` has a line for each class of ImageNet-1K: its index there, its wnid, and its index among these
logits, which is empty for the {absent} of 1,000 that this model does not have. Their images count as wrong.

```python
import csv
rows = [row for row in csv.DictReader(open("FOLDER/{file}")) if row["class_index"]]
best = logits[:, [int(row["class_index"]) for row in rows]].argmax(1)
answers = [int(rows[at]["imagenet1k_index"]) for at in best]  # ImageNet-1K's index for each image
```
{levels}"""

_LEVELS = """
These classes lie on several levels, and only logits of one level were trained against each other, so this compares
what training did not: a classifier fitted on ImageNet-1K is the fairer measure.
"""

_OURS = "import in21k.train.model.ofa  # pip install 'in21k[train]': registers {architecture}, which timm lacks\n"


@dataclass(frozen=True)
class CardOptions:
    """What a model card says beyond the model and its run."""

    license: License | None = None
    """None takes ImageNet's terms, or says that there are none."""
    repo: str = ""
    """OWNER/NAME on the hub; empty for a folder."""
    onnx: bool = False
    """Whether the folder has an ONNX file."""


def model_card(model: TrainedModel, facts: RunFacts, options: CardOptions) -> str:
    """Return the model card, in Markdown with the header that hubs read."""
    metadata, levels = model.metadata, model.classes.hierarchy.num_levels
    architecture = metadata.model.partition(".")[0]
    fixed = timm.models.get_pretrained_cfg_value(metadata.model, "fixed_input_size")
    terms = options.license or default_license(model)
    return _CARD.format(
        header=card_header(model, facts, terms),
        name=metadata.model,
        architecture=architecture,
        weights=MODEL,
        classes=metadata.num_classes,
        kind="one level" if levels == 1 else f"{levels} levels",
        base=_base(metadata.config.model),
        steps=metadata.step,
        scheme=metadata.config.loss.scheme,
        place=f"hf-hub:{options.repo}" if options.repo else "local-dir:FOLDER",
        ours=_OURS.format(architecture=architecture) if architecture == OFA else "",
        onnx=_ONNX.format(file=ONNX, size=metadata.image_size) if options.onnx else "",
        size=metadata.image_size,
        interpolation=metadata.config.data.interpolation,
        mean=list(model.network.normalization.mean),
        std=list(model.network.normalization.std),
        more=f", img_size={metadata.image_size}" if fixed else "",
        imagenet1k=_imagenet1k(model),
        license=_license(terms),
        data="\n".join(_table("data", _data(metadata, facts))),
        metrics="\n".join(_metrics(facts)),
        recipe="\n".join(_table("setting", flatten(metadata.config.to_dict()))),
    )


def _base(config: ModelConfig) -> str:
    """Return a sentence on the weights that a run started from; empty if it started from none."""
    if base := hub_base(config):
        return f" It started from timm's weights `{base}`."
    if not config.init:
        return ""
    parts = Path(config.init).parts  # of a checkpoint, from its run's folder on; the rest is of one machine alone
    at = parts.index(FOLDER) - 1 if FOLDER in parts[1:] else -2
    return f" It started from the weights `{'/'.join(parts[at:])}`."


def _license(terms: License) -> str:
    if terms == IMAGENET:
        return (
            f"The weights were trained on images of ImageNet, whose [terms of access]({terms.link}) allow research and "
            "teaching, not\ncommercial use. Whether these terms reach weights is not settled; nobody chose others."
        )
    if terms == UNKNOWN:
        return "Nobody has said under what terms these weights are."
    return f"`{terms.id}`" + (f": <{terms.link}>" if terms.link else "")


def _imagenet1k(model: TrainedModel) -> str:
    known = [index for _, index in imagenet1k_indices(model.classes) if index is not None]
    if not known:
        return ""
    apart = model.metadata.config.loss.scheme.startswith("semantic") and len(set(_levels(model, known))) > 1
    absent = f"{1000 - len(known):,}"
    return _IMAGENET1K.format(file=IMAGENET1K_MAP, absent=absent, levels=_LEVELS if apart else "")


def _levels(model: TrainedModel, indices: list[int]) -> list[int]:
    return [int(model.classes.hierarchy.levels[index]) for index in indices]


def _data(metadata: ModelMetadata, facts: RunFacts) -> dict[str, Any]:
    known = {"name": facts.data_name, "SHA-256 of the manifest": facts.dataset.get("manifest_sha256")}
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
