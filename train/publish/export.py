"""Export of a model as a folder that timm loads: weights, config.json as on its hub, a model card, and its classes."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm

from in21k.shards_manifest.manifest import HIERARCHY
from in21k.shards_manifest.markers import CONFIG, FolderKind, markers, require_place_for
from in21k.shards_manifest.storage.local_files import make_folder, write_atomic
from in21k.shards_manifest.storage.location import locate
from in21k.train.errors import TrainError
from in21k.train.model.model_file import MODEL, save_model
from in21k.train.publish.card_metadata import License
from in21k.train.publish.class_files import CLASSES, IMAGENET1K_MAP, class_lines, imagenet1k_map
from in21k.train.publish.model_card import CardOptions, model_card
from in21k.train.publish.onnx_file import require_onnx, write_onnx
from in21k.train.publish.run_facts import read_run_facts
from in21k.train.publish.upload import Upload, check_upload, push
from in21k.train.use.onnx_network import ONNX
from in21k.train.use.trained_model import TrainedModel, is_onnx

MODEL_CARD = "README.md"
FILES = (MODEL, ONNX, CONFIG, MODEL_CARD, HIERARCHY, CLASSES, IMAGENET1K_MAP)
"""All that an exported folder may have."""

_KEPT = ("first_conv", "classifier", "fixed_input_size")
"""Keys of timm's configuration that describe the architecture, whatever its weights."""


@dataclass(frozen=True)
class ExportOptions:
    """What an export has beyond the model."""

    onnx: bool = False
    """Whether to write model.onnx, too."""
    license: License | None = None
    """Of the weights; None takes ImageNet's terms for models of ImageNet's classes."""
    upload: Upload | None = None
    """Where on the hub the folder is to go, too."""


def export(model: TrainedModel, out: Path, options: ExportOptions = ExportOptions()) -> dict[str, Any]:
    """Write a model and what describes it into a folder, the model file last; return the summary.

    Args:
        model: to export.
        out: the folder, which may be missing and must not hold a model.
        options: what else to write.

    Raises:
        DatasetError: the folder already holds a model, or cannot be written; there is no ONNX file of this model; or
            the hub refuses the upload.
    """
    if is_onnx(model.path):
        raise TrainError(
            f"{model.path} is a graph, which only predict takes; name the run or model.safetensors it came from"
        )
    _require_free(out)
    if options.onnx:
        require_onnx(model)
    there = check_upload(options.upload) if options.upload else None
    make_folder(out)
    names = _write_description(model, out, options)
    if options.onnx:
        write_onnx(out / ONNX, model)
        names.insert(0, ONNX)
    save_model(out / MODEL, model.metadata, model.network.weights())  # last: it completes the folder
    pushed = {}
    if options.upload and there:
        pushed["pushed"] = push(out, [MODEL, *names], FILES, options.upload, there)
    return {
        "exported": str(out / MODEL),
        "checkpoint": str(model.path),
        "model": model.metadata.model,
        "classes": model.metadata.num_classes,
        "image_size": model.metadata.image_size,
        "files": [MODEL, *names],
        **pushed,
    }


def _require_free(out: Path) -> None:
    """Refuse a folder with files of these names, unless they are of an export that was interrupted."""
    require_place_for(locate(out), FolderKind.MODEL, option="folder")
    began = CONFIG in markers(locate(out))  # it is written first
    for name in (MODEL,) if began else FILES:
        if os.path.lexists(out / name):
            raise TrainError(f"{out} already holds a {name}; give another folder")


def _write_description(model: TrainedModel, out: Path, options: ExportOptions) -> list[str]:
    """Write all but the weights; return the names."""
    card = CardOptions(
        license=options.license,
        repo=options.upload.repo if options.upload else "",
        onnx=options.onnx,
    )
    contents = {
        CONFIG: json.dumps(hub_config(model), indent=2, ensure_ascii=False).encode() + b"\n",
        MODEL_CARD: model_card(model, read_run_facts(model.path, model.metadata), card).encode(),
        HIERARCHY: model.classes.location.read_bytes(),
        CLASSES: class_lines(model.classes),
        IMAGENET1K_MAP: imagenet1k_map(model.classes),
    }
    written = [name for name, content in contents.items() if content]
    for name in written:
        write_atomic(out / name, contents[name])
    return written


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
