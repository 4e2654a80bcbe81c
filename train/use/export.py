"""Export of a model as a folder that timm loads: weights, config.json as on its hub, and a model card."""

import json
import os
from pathlib import Path
from typing import Any

import timm

from in21k.shards_manifest.manifest import HIERARCHY
from in21k.shards_manifest.markers import CONFIG, FolderKind, markers, require_place_for
from in21k.shards_manifest.storage.local_files import make_folder, write_atomic
from in21k.shards_manifest.storage.location import locate
from in21k.train.errors import TrainError
from in21k.train.model.model_file import MODEL, save_model
from in21k.train.use.model_card import model_card, read_run_facts
from in21k.train.use.trained_model import TrainedModel

MODEL_CARD = "README.md"
_KEPT = ("first_conv", "classifier", "fixed_input_size")
"""Keys of timm's configuration that describe the architecture, whatever its weights."""


def export(model: TrainedModel, out: Path) -> dict[str, Any]:
    """Write model.safetensors, config.json, README.md and hierarchy.parquet into a folder; return the summary.

    Args:
        model: to export.
        out: the folder, which may be missing and must not hold a model.

    Raises:
        DatasetError: the folder already holds a model, or cannot be written.
    """
    require_place_for(locate(out), FolderKind.MODEL, option="folder")
    began = CONFIG in markers(locate(out))  # it is written first
    for name in (MODEL, *(() if began else (CONFIG, MODEL_CARD, HIERARCHY))):
        if os.path.lexists(out / name):
            raise TrainError(f"{out} already holds a {name}; give another folder")
    make_folder(out)
    facts = read_run_facts(model.path, model.metadata)
    write_atomic(out / CONFIG, json.dumps(hub_config(model), indent=2, ensure_ascii=False).encode() + b"\n")
    write_atomic(out / MODEL_CARD, model_card(model, facts).encode())
    write_atomic(out / HIERARCHY, model.classes.location.read_bytes())
    save_model(out / MODEL, model.metadata, model.network.weights())  # last: it completes the folder
    return {
        "exported": str(out / MODEL),
        "checkpoint": str(model.path),
        "model": model.metadata.model,
        "classes": model.metadata.num_classes,
        "image_size": model.metadata.image_size,
        "files": [MODEL, CONFIG, MODEL_CARD, HIERARCHY],
    }


def hub_config(model: TrainedModel) -> dict[str, Any]:
    """Return the content of config.json in the format of timm's hub: architecture, inputs, and the names of classes."""
    metadata, hierarchy = model.metadata, model.classes.hierarchy
    known = timm.models.get_pretrained_cfg(metadata.model).to_dict()
    inputs = {
        "tag": "in21k",
        "custom_load": False,
        "input_size": [3, metadata.image_size, metadata.image_size],
        "interpolation": metadata.config.data.interpolation,
        "crop_pct": 1.0,
        "crop_mode": "squash",  # images are resized without regard to their aspect ratio
        "mean": list(model.network.normalization.mean),
        "std": list(model.network.normalization.std),
        "num_classes": metadata.num_classes,
        **{key: known[key] for key in _KEPT if known.get(key) is not None},
    }
    return {
        "architecture": metadata.model.partition(".")[0],
        "num_classes": metadata.num_classes,
        "num_features": int(model.network.module.num_features),  # type: ignore[arg-type]
        **({"model_args": {"img_size": metadata.image_size}} if known.get("fixed_input_size") else {}),
        "label_names": list(hierarchy.wnids),
        "label_descriptions": {
            wnid: ", ".join(lemmas) for wnid, lemmas in zip(hierarchy.wnids, model.classes.lemmas, strict=True)
        },
        "pretrained_cfg": inputs,
    }
