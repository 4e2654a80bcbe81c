"""A checkpoint as a folder that timm loads: weights, config.json in the format of its hub, and a model card."""

import json
from pathlib import Path
from typing import Any

import timm

from in21k.shards_manifest.manifest import HIERARCHY
from in21k.shards_manifest.storage.local_files import make_folder, write_atomic
from in21k.train.errors import TrainError
from in21k.train.model.model_file import MODEL, save_model
from in21k.train.use.model_card import model_page, read_facts
from in21k.train.use.trained_model import TrainedModel

CONFIG = "config.json"
PAGE = "README.md"
_KEPT = ("first_conv", "classifier", "fixed_input_size")
"""What timm knows of an architecture's layers, whatever its weights."""


def export(model: TrainedModel, out: Path) -> dict[str, Any]:
    """Write model.safetensors, config.json, README.md and hierarchy.parquet into a folder; return what was written.

    Args:
        model: to export.
        out: the folder; it may be missing, and may not hold a model.

    Raises:
        DatasetError: the folder holds a model, or cannot be written.
    """
    if (out / MODEL).exists():
        raise TrainError(f"{out} already holds a {MODEL}; name another folder")
    make_folder(out)
    facts = read_facts(model.path, model.card)
    write_atomic(out / CONFIG, json.dumps(hub_config(model), indent=2, ensure_ascii=False).encode() + b"\n")
    write_atomic(out / PAGE, model_page(model, facts).encode())
    write_atomic(out / HIERARCHY, model.classes.location.read_bytes())
    save_model(out / MODEL, model.card, model.network.weights())  # last: with it, the folder is whole
    return {
        "exported": str(out / MODEL),
        "checkpoint": str(model.path),
        "model": model.card.model,
        "classes": model.card.num_classes,
        "image_size": model.card.image_size,
        "files": [MODEL, CONFIG, PAGE, HIERARCHY],
    }


def hub_config(model: TrainedModel) -> dict[str, Any]:
    """Return the contents of config.json, as timm's hub has them: architecture, inputs, and the classes by name."""
    card, hierarchy = model.card, model.classes.hierarchy
    known = timm.models.get_pretrained_cfg(card.model).to_dict()
    inputs = {
        "tag": "in21k",
        "custom_load": False,
        "input_size": [3, card.image_size, card.image_size],
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "squash",  # images are squished, not cropped
        "mean": list(model.network.normalization.mean),
        "std": list(model.network.normalization.std),
        "num_classes": card.num_classes,
        **{key: known[key] for key in _KEPT if known.get(key) is not None},
    }
    return {
        "architecture": card.model.partition(".")[0],
        "num_classes": card.num_classes,
        "num_features": int(model.network.module.num_features),  # type: ignore[arg-type]
        **({"model_args": {"img_size": card.image_size}} if known.get("fixed_input_size") else {}),
        "label_names": list(hierarchy.wnids),
        "label_descriptions": {
            wnid: ", ".join(lemmas) for wnid, lemmas in zip(hierarchy.wnids, model.classes.lemmas, strict=True)
        },
        "pretrained_cfg": inputs,
    }
